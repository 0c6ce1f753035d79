"""`pressmark attach-document ABOUT FILE --kind KIND`: keep a file as proof beside a record."""

from __future__ import annotations

import argparse
from pathlib import Path

from registry.cli.remote import add_server_arguments, client_of, show_progress
from registry.errors import Invalid


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "about",
        metavar="ABOUT",
        help="such as version:TEAM/MODEL@3, dataset_version:TEAM/DATASET@1 or licence:Apache-2.0",
    )
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument("--kind", required=True, help="such as legal-opinion, privacy-assessment, test-report, other")
    parser.add_argument("--title", default="")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Upload the file and attach it; says its id and what its bytes are."""
    if not options.file.is_file():
        raise Invalid(f"There is no file {options.file}.", hint="Name the file to attach.")
    row = client_of(options).attach_document(
        options.about, options.file, options.kind, options.title,
        lambda done, total: show_progress(done, total, options.file.name),
    )  # fmt: skip
    print(f"{row['id']}  {row['kind']} ({row['media_type']}) about {row['about']}, {row['digest']}")
    return 0
