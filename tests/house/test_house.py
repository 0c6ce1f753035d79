"""The house keeps its own rules: who writes, who opens transactions, how long things are, what a governed table may hold."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from django.db import models

from registry import configuration
from registry.access.permissions import PERMISSIONS
from registry.cli.verbs import VERBS
from registry.governed import governed_models
from registry.images import missing_record_types, record_types

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = [p for folder in ("registry", "audit", "compression_engine") for p in sorted((ROOT / folder).rglob("*.py"))]
PRODUCT = [p for p in PRODUCT if "migrations" not in p.parts]
LONG_BY_DECISION = {"audit/offline_verify.py"}  # one file, so that a stranger reads and runs one file
MAY_OPEN_TRANSACTIONS = {"registry/events.py", "audit/checkpoints.py", "audit/keeper.py"}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", PRODUCT, ids=name_of)
def test_a_file_opens_with_its_reason_and_fits(path: Path) -> None:
    text = path.read_text()
    if name_of(path) not in LONG_BY_DECISION:
        assert len(text.splitlines()) <= 400, "a file of more than 400 lines is two rooms in one"
    tree = ast.parse(text)
    if text.strip():
        assert ast.get_docstring(tree), "a module opens with its one reason"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and name_of(path) not in LONG_BY_DECISION:
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= 60, f"{node.name} has {length} lines"


def test_only_units_and_the_keeper_open_transactions() -> None:
    strays = [
        name_of(p)
        for p in PRODUCT
        if re.search(r"transaction\.atomic|\batomic\(", p.read_text()) and name_of(p) not in MAY_OPEN_TRANSACTIONS
    ]
    assert [s for s in strays if s not in {"audit/ledger.py"}] == []


def test_only_services_write_governed_tables() -> None:
    writing = re.compile(r"\.objects\.(create|bulk_create|update_or_create|get_or_create)\(|\.save\(")
    allowed = re.compile(
        r"(^|/)(services(/.*|_\w+)?|execution|governed|signing|http|keeper|checkpoints|witness(es)?|storage|outbox)\.py$"
    )
    governed = [p for p in PRODUCT if not name_of(p).startswith("compression_engine/")]
    strays = [name_of(p) for p in governed if writing.search(p.read_text()) and not allowed.search(name_of(p))]
    assert strays == []


def test_governed_tables_hold_nothing_that_cannot_be_sealed_exactly() -> None:
    for model in governed_models():
        assert isinstance(model._meta.pk, models.UUIDField), model
        assert not model._meta.many_to_many, model
        assert not model._meta.parents, model
        for column in model._meta.concrete_fields:
            assert not isinstance(column, models.FloatField | models.DecimalField), (model, column)


def test_every_governed_table_has_a_record_type_in_its_rooms_name() -> None:
    assert missing_record_types() == []
    for record_type in record_types():
        assert re.fullmatch(r"[a-z]+\.[a-z_]+", record_type.name), record_type.name


def test_every_act_of_the_permission_table_is_asked_for_somewhere() -> None:
    source = "\n".join(p.read_text() for p in PRODUCT if p.name != "permissions.py")
    assert [action for action in PERMISSIONS if f'"{action}"' not in source] == []


def test_every_setting_is_documented() -> None:
    page = (ROOT / "docs" / "settings.md").read_text()
    names = set(re.findall(r"PRESSMARK_[A-Z_]+", Path(configuration.__file__).read_text()))
    assert {n for n in names if f"`{n}`" not in page} == set()


def test_every_verb_of_the_command_line_is_documented_and_exists() -> None:
    import importlib

    page = (ROOT / "docs" / "commands.md").read_text()
    for verb in VERBS:
        assert f"`pressmark {verb.name}" in page, verb.name
        module = importlib.import_module(verb.module)
        assert callable(module.run)
        assert callable(module.add_arguments)


def test_the_project_names_no_place_of_the_machine_it_was_written_on() -> None:
    import subprocess

    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    suspicious = re.compile("/wo" + r"rk/main|/ro" + r"ot/|/ho" + "me/[a-z]")
    strays = []
    for name in tracked:
        path = ROOT / name
        if path.suffix in {".py", ".md", ".toml", ".html", ".css", ".js", ".json", ""} and path.is_file():
            text = path.read_text(errors="ignore")
            if suspicious.search(text):
                strays.append(name)
    assert strays == []


def emitted_kinds() -> set[str]:
    kinds = set()
    for path in PRODUCT:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "emit" and node.args:
                kinds |= {
                    n.value for n in ast.walk(node.args[0]) if isinstance(n, ast.Constant) and isinstance(n.value, str)
                }
    return {kind for kind in kinds if re.fullmatch(r"[a-z_]+\.[a-z_]+", kind)}


def test_every_kind_of_event_is_documented() -> None:
    page = (ROOT / "docs" / "events.md").read_text()
    assert len(emitted_kinds()) > 40
    assert {kind for kind in emitted_kinds() if f"`{kind}`" not in page} == set()


def test_every_event_begins_with_the_noun_of_a_record() -> None:
    nouns = {t.name.partition(".")[2] for t in record_types()}
    assert {kind for kind in emitted_kinds() if kind.partition(".")[0] not in nouns} == set()


def test_every_method_of_the_engine_is_documented() -> None:
    from compression_engine.methods import METHODS

    page = (ROOT / "docs" / "methods.md").read_text()
    assert [name for name in METHODS if f"`{name}`" not in page] == []
