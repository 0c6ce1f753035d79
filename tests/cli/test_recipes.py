"""`pressmark recipes`: what ships, told to people and programs, without a server."""

from __future__ import annotations

import json

import pytest

from compression_engine.recipe import Recipe, shipped_recipes
from registry.cli.main import main


def test_every_recipe_that_ships_is_told_with_its_steps_and_what_it_needs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes"]) == 0
    told = capsys.readouterr().out
    for name, entry in shipped_recipes().items():
        part = told[told.index(f"{name}\n") :].split("\n\n")[0]
        assert entry.description[:40] in part
        assert all(step.method in part for step in entry.recipe.steps)
        looks = any(step.needs_calibration for step in entry.recipe.steps)
        assert ("calibration rows: inputs" in part) == looks
        assert ("training rows" in part.split("Needs:")[1]) == any(step.needs_training for step in entry.recipe.steps)


def test_one_recipe_is_told_with_every_parameter_of_its_steps(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes", "smallest-4-bit"]) == 0
    told = capsys.readouterr().out
    step = shipped_recipes()["smallest-4-bit"].recipe.steps[0]
    assert "bits = 4:" in told
    assert "exclude = none:" in told
    assert all(f"    {parameter.name} = " in told for parameter in step.spec.parameters)
    assert "half-size" not in told


def test_the_documents_are_those_that_runs_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes", "--json"]) == 0
    documents = json.loads(capsys.readouterr().out)
    assert [Recipe.parse(entry["recipe"]).digest() for entry in documents] == [entry["digest"] for entry in documents]
    assert len(documents) == len(shipped_recipes())


def test_a_recipe_that_does_not_ship_is_refused_with_those_that_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes", "smallest"]) == 1
    said = capsys.readouterr().err
    assert "'smallest'" in said
    assert "smallest-4-bit" in said
