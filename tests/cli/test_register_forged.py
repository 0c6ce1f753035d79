"""Figures that somebody wrote into a RESULT.json: a registration takes none of them over, and says so."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse

from compression_engine.canonical import canonical, parse_canonical
from compression_engine.pipeline import compress
from compression_engine.recipe import Recipe, Step
from registry import storage
from registry.catalog.models import ModelVersion
from tests.cli.conftest import Pressmark
from tests.world import World

FORGED = ("0.000777123", "0.98765432109", "Imaginary 9000", "Nothing at all was lost.")


def forged(path: Path) -> None:
    """A curve that fell to next to nothing, a figure, a sentence and a processor that never were."""
    document = parse_canonical(path.read_bytes())
    document["steps"][0]["training"] = [{"best_epoch": 0, "points": [{"epoch": 0, "validation": FORGED[0]}]}]
    document["evidence"][0]["document"]["figures"][0]["value"] = FORGED[1]
    next(fact for fact in document["environment"] if fact["name"] == "cpu_model")["value"] = FORGED[2]
    document["evidence"][0]["plain"][0] = FORGED[3]
    path.write_bytes(canonical(document))


def test_no_figure_of_a_shell_s_result_is_shown_and_whoever_registers_is_told(
    pressmark: Pressmark, served: World, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    parent, model = served.version(), served.model("elsewhere")
    (tmp_path / "model.onnx").write_bytes(storage.read_bytes(parent.artifacts.get(role="weights").digest))
    compress(tmp_path / "model.onnx", Recipe("small", (Step("quantize_weights"),), 3), output_folder=tmp_path / "made")
    forged(tmp_path / "made" / "RESULT.json")
    words = ["register-version", str(model), str(tmp_path / "made" / "model.onnx"), "--licence", "MIT"]
    words += ["--result", str(tmp_path / "made" / "RESULT.json"), "--base", str(parent)]
    assert pressmark("ada", *words) == 0
    assert "no figure, curve or machine of the result is taken over" in capsys.readouterr().out
    child = ModelVersion.objects.get(model=model)
    (looked,) = child.evidence.all()  # what the registry saw in the file itself
    assert looked.kind == "structure"
    assert not [told for told in FORGED if told.encode() in storage.read_bytes(looked.digest)]
    assert {edge.grade for edge in child.parent_edges.all()} == {"declared"}
    browser = Client()
    browser.force_login(served.cast.people["ada"])
    page = browser.get(reverse("desk:version", args=[model.team.slug, model.slug, child.number])).content.decode()
    assert pressmark("ada", "show", str(child)) == 0
    for told in (page, capsys.readouterr().out):
        assert not [one for one in FORGED if one in told]
    assert "declared" in page.lower()
