"""What an evaluation asked of the incumbent and the first approved version as well, and what its documents say, in words."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from registry.desk.facts import fact_text
from tests.desk.conftest import Visitor
from tests.desk.evaluated import every_kind, share
from tests.desk.scene import Scene
from tests.desk.test_evaluation import address, made
from tests.worlds.catalog import figure

Visit = Callable[[str], Visitor]


def test_what_was_asked_beside_the_incumbent_stands_with_its_sibling_and_says_against_whom(
    visit: Visit, story: Scene
) -> None:
    beside = {
        f"{kind}-{other}": [share("accuracy_difference", "-0.02", 400, "-0.03", "-0.01")]
        for kind, other in (
            ("fairness", "incumbent"), ("fairness", "first"), ("calibration", "incumbent"), ("robustness", "incumbent"),
            ("out-of-distribution", "incumbent"),
        )
    }  # fmt: skip
    asked_again = [figure("repeat_difference_max", "0.25", "output_unit", n=40)]
    run = made(story, {**every_kind(), **beside, "invariance": asked_again})
    html = visit("carla").get(address(run)).content.decode()
    sections = dict(re.findall(r'<section class="answer" id="([a-z-]+)"(.*?)</section>', html, re.S))
    assert "further" not in sections
    for name in ("fairness", "calibration", "robustness", "out-of-distribution"):
        assert sections[name].count("<h3>Against the incumbent</h3>") == 1
    assert "<h3>Against the first approved version</h3>" in sections["fairness"]
    assert "<h3>Same answers, however asked</h3>" in sections["same"]
    page = visit("carla").reads(address(run))
    assert "Same answers as the incumbent the run did not ask it of the incumbent" in page
    assert "Calibration against the first approved version the run did not ask it of the first approved version" in page
    alone = made(story, {"size": [], "robustness-incumbent": beside["robustness-incumbent"]})
    html = visit("carla").get(address(alone)).content.decode()
    assert html.index('id="robustness"') < html.index("<h3>Against the incumbent</h3>") < html.index('id="cost"')


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("answers_without_a_number", "version 3 incumbent 2",
         "answers that are no number count as wrong: 3 of this version, 2 of the incumbent"),
        ("rows_left_out", "12", "12 rows without a usable answer of every model were left out"),
        ("groups_left_out", "region 3, town 40", "groups beyond those that are looked at were left out: region 3, town 40"),
        ("near_seen_rows", "9", "9 rows are, or almost are, rows that it was made with"),
        ("distinct_rows", "800", "800 rows differ; each other one repeats one of these"),
        ("corrupted_rows", "1000", "1000 rows were damaged"),
        ("modality", "tabular", "modality tabular"),
    ],
)  # fmt: skip
def test_facts_of_a_document_stand_in_words(name: str, value: str, said: str) -> None:
    assert fact_text(name, value) == said
