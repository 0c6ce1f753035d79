"""The pages that lead a newcomer through the whole product do what they say: every block, on a fresh instance."""

from __future__ import annotations

import argparse
import importlib
import re
from pathlib import Path

import pytest

from registry.cli.verbs import VERBS
from tests.journeys import walks

PAGES = ("first-steps", "governance")
SECONDS = 1200
HANDED_ON = {"verify", "measure"}
"""Verbs whose options are read by the program that they start."""
SAID = {
    "first-steps": {
        1: [r"pressmark/\S+"],
        4: [r"risk/held-out@1 400 rows sha256:[0-9a-f]{64}"],
        5: [r"risk/scorer@1"],
        6: [r"risk/scorer@2", r"size_ratio"],
        7: [r"^On held-back rows cosine_mean: 0.99", r"^risk/searched@1"],
        8: [r"risk/scorer@2"],
        9: [r"^today healthy ", r"^odd drifted ", r"^production is .*@1$"],
        10: [r"All four answers are yes", r"every table is what the ledger says"],
    },
    "governance": {
        2: [r"loans/triage +tier high", r"effect", r"personal-data"],
        3: [r"0 of 833 rows stand in the other file of 1,309 rows"],
        8: [r"would go to loans/triage@1", r"admitted"],
        11: [r"hold"],
        12: [r'"says"', r"The ledger is whole, and every table is what the ledger says"],
    },
}
"""What the pages say comes of their blocks, by the number of the block."""


def page_of(name: str) -> Path:
    return walks.ROOT / "docs" / f"{name}.md"


def calls_of(block: str) -> list[tuple[str, list[str]]]:
    """Verb and options of each call of `pressmark` in a block, also of those made `as` somebody."""
    bare = re.sub(r"\s#.*", "", re.sub(r'"[^"]*"', '""', block.replace("\\\n", " ")))
    found = re.findall(
        r"(?:^\s*as [\w$]+|\(as \w+|^\s*pressmark|until pressmark) ([a-z][a-z-]+)([^\n|)]*)", bare, re.MULTILINE
    )
    return [(verb, re.findall(r"(?<=\s)--[a-z-]+", rest)) for verb, rest in found]


@pytest.mark.parametrize("name", PAGES)
def test_every_call_of_a_walk_is_a_verb_that_takes_its_options(name: str) -> None:
    known = {verb.name: verb for verb in VERBS}
    calls = [call for block in walks.blocks_of(page_of(name)) for call in calls_of(block)]
    assert len(calls) > 10
    for verb, options in calls:
        assert verb in known, f"{name}: there is no verb {verb}"
        if verb in HANDED_ON:
            continue
        parser = argparse.ArgumentParser()
        importlib.import_module(known[verb].module).add_arguments(parser)
        missing = [option for option in options if option not in parser._option_string_actions]
        assert not missing, f"{name}: pressmark {verb} takes no {missing}"


@pytest.mark.long
@pytest.mark.parametrize("name", PAGES)
def test_every_block_of_a_walk_does_what_the_page_says(name: str, tmp_path: Path) -> None:
    blocks = walks.blocks_of(page_of(name))
    done = walks.walk(page_of(name), tmp_path / "walk", SECONDS)
    odd = done.failed ^ walks.expected_failures(blocks)
    told = [f"{blocks[f.block - 1].splitlines()[f.line - 1]}\n{done.printed[f.block - 1][-3000:]}" for f in odd]
    assert not odd, "\n".join([f"{sorted(odd, key=repr)}", *told, done.told])
    for number, lines in SAID[name].items():
        for line in lines:
            assert re.search(line, done.printed[number - 1], re.MULTILINE), (number, line, done.printed[number - 1])
