"""What a call says of how far it is: every stage that stands in the engine stands in COMMAND_LINE.md."""

from __future__ import annotations

import re
from pathlib import Path

import compression_engine
from compression_engine.evaluation import MEASURES

_HOME = Path(compression_engine.__file__).parent
_TOLD = re.compile(r'(?:progress\(\s*|STAGE = )"([a-z-]+)"')


def test_every_stage_is_documented() -> None:
    told = {stage for path in _HOME.rglob("*.py") for stage in _TOLD.findall(path.read_text(encoding="utf-8"))}
    assert len(told) > 20
    page = (_HOME / "COMMAND_LINE.md").read_text(encoding="utf-8")
    (line,) = [line for line in page.splitlines() if line.startswith("`stage` is one of")]
    assert sorted(told - set(re.findall(r"`([a-z-]+)`", line)) - set(MEASURES)) == []
