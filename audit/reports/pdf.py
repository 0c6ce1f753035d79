"""The report as PDF/A-3a and PDF/UA-1, typeset from its JSON by a child process, with that JSON attached inside.

Rules:
- the same JSON gives the same bytes: fixed date, embedded fonts only, the compiler's version pinned and named in the report;
- what the fonts cannot print is printed by its number, so no name can stop a report;
- no transaction is open while it runs; it has limits of time and memory; it reads nothing but its own folder.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any, cast

from django.conf import settings

from audit.reports.data import TEMPLATE
from audit.reports.glyphs import printable_values
from registry.digests import parse_canonical
from registry.errors import Unavailable
from registry.events import UnitError, current_unit

TIME_LIMIT_SECONDS = 180
ATTACHED = "report.json"
_TEMPLATE_FILE = "reports/assessment.typ"


def template_name() -> str:
    """Which template and compiler a PDF was made with; kept with the issued report."""
    return f"{TEMPLATE} typst-{package_version('typst')}"


def render(report_bytes: bytes) -> bytes:
    """The PDF of a report's canonical bytes. Takes a second or two; must not be called with a transaction open."""
    if current_unit() is not None:
        raise UnitError("a report is rendered outside every unit")
    data = cast(dict[str, Any], printable_values(parse_canonical(report_bytes)))
    data["compiler"] = template_name()
    with tempfile.TemporaryDirectory(prefix="pressmark-report-") as name:
        folder = Path(name)
        (folder / ATTACHED).write_bytes(report_bytes)
        (folder / "data.json").write_text(json.dumps(data, ensure_ascii=False, sort_keys=True))
        shutil.copyfile(_template(), folder / "main.typ")
        _typeset(folder)
        return (folder / "report.pdf").read_bytes()


def _template() -> Path:
    engine: Any = settings.TEMPLATES[0]
    for folder in engine["DIRS"]:
        path = Path(folder) / _TEMPLATE_FILE
        if path.is_file():
            return path
    raise Unavailable(f"The template {_TEMPLATE_FILE} is not installed.", hint="Install Pressmark again.")


def _typeset(folder: Path) -> None:
    """Run the child. Its environment is bare: no home, no fonts, no caches of this machine."""
    environment = {
        "PATH": os.defpath, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p), "LANG": "C.UTF-8",
        "HOME": str(folder), "SOURCE_DATE_EPOCH": "0",
    }  # fmt: skip
    try:
        done = subprocess.run(
            [sys.executable, "-m", "audit.reports.typeset", str(folder)], check=False, cwd=folder, env=environment,
            capture_output=True, timeout=TIME_LIMIT_SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise Unavailable(
            f"The report was not typeset within {TIME_LIMIT_SECONDS} seconds.",
            hint="Try again when the machine is idle.",
        ) from None
    if done.returncode != 0:
        told = done.stderr.decode(errors="replace").strip().splitlines()
        raise Unavailable(
            f"The report could not be typeset: {told[-1] if told else 'the process was stopped'}",
            hint="The page and the JSON show the same; report this with the message.",
            code="typesetting-failed",
        )
