"""`pressmark register-licence TEAM EXPRESSION [--text FILE]`: an expression with its terms, or a text of one's own."""

from __future__ import annotations

import argparse
from pathlib import Path

from registry.cli.remote import add_server_arguments, client_of, show_progress
from registry.errors import Invalid


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("team", metavar="TEAM")
    parser.add_argument("expression", metavar="EXPRESSION", help="an SPDX expression, or LicenseRef-NAME with --text")
    parser.add_argument("--text", type=Path, metavar="FILE", help="the text of a licence of your own")
    parser.add_argument("--title", default="")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Register it; says each term with its answer."""
    client = client_of(options)
    body = {"expression": options.expression, "title": options.title}
    if options.text is not None:
        if not options.text.is_file():
            raise Invalid(f"There is no file {options.text}.", hint="Name the file that holds the licence's text.")
        upload = client.upload(options.text, lambda done, total: show_progress(done, total, options.text.name))
        body["text_digest"] = upload["digest"]
    row = client.post(f"teams/{options.team}/licences", body)
    print(
        f"{row['expression']}, number {row['number']}" + (f", text {row['text_digest']}" if row["text_digest"] else "")
    )
    for term, given in row["answers"].items():
        print(f"  {term:<17} {given['answer']:<11} {given['sentence']}")
    return 0
