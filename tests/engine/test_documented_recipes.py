"""Recipes and plans that a page of the docs has a reader paste are documents that the engine takes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from compression_engine.plan import Plan
from compression_engine.recipe import Recipe

DOCS = Path(__file__).parents[2] / "docs"
PASTED = re.compile(r"^cat > \S+\.json <<'END'\n(.*?)^END$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(("page", "least"), [("training", 3), ("methods", 1)])
def test_what_a_page_has_pasted_is_read_as_it_stands(page: str, least: int) -> None:
    texts = PASTED.findall((DOCS / f"{page}.md").read_text("utf-8"))
    assert len(texts) >= least
    for text in texts:
        if '"pressmark/recipe/1"' in text:
            assert Recipe.parse(text).steps
        else:
            assert Plan.parse(text).task
