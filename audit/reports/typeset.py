"""Compile one report in a process of its own: `python -m audit.reports.typeset FOLDER` writes FOLDER/report.pdf.

FOLDER holds `main.typ`, the printable data and the files to attach; nothing outside it can be read, no font and no package of the
machine is used, and the process gives itself limits of time and memory. No Django here.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import typst

CPU_LIMIT_SECONDS = 120
MEMORY_LIMIT_BYTES = 4 * 1024**3


def main(folder: Path) -> None:
    """Compile, writing the PDF only when it is whole; on an error the place in the template is said, and the exit status is 1."""
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_LIMIT_SECONDS, CPU_LIMIT_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT_BYTES, MEMORY_LIMIT_BYTES))
    try:
        data = typst.compile(
            folder / "main.typ", root=folder, format="pdf", ignore_system_fonts=True, pdf_standards=["a-3a", "ua-1"]
        )
    except typst.TypstError as error:
        place = " ".join(str(error.diagnostic).split())
        sys.exit(f"{error.message}: {place}"[:2000])
    (folder / "report.pdf").write_bytes(data)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
