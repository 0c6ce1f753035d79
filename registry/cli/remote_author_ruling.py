"""`pressmark author-ruling EXPRESSION TERM=ANSWER:SENTENCE...`: what you found in a licence's text, and the proof."""

from __future__ import annotations

import argparse
import contextlib
import uuid
from pathlib import Path

from registry.cli.remote import add_server_arguments, client_of, show_progress
from registry.client import ApiError, Client
from registry.errors import Invalid


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("licence", metavar="EXPRESSION")
    parser.add_argument(
        "answers", nargs="+", metavar="TERM=ANSWER:SENTENCE", help='"commercial_use=allowed:Section 2 grants any use."'
    )
    parser.add_argument("--document", required=True, metavar="FILE", help="what the answers rest on, or the id of it")
    parser.add_argument(
        "--kind", default="legal-opinion", help="what the document is (legal-opinion, licence-text, ...)"
    )
    parser.add_argument("--reason", required=True)
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Attach the document and author the ruling; somebody else has to approve it."""
    answers = [_answer(word) for word in options.answers]
    client = client_of(options)
    document = _document(client, options)
    body = {"licence": options.licence, "answers": answers, "reason": options.reason, "document": document}
    row = client.post("rulings", body)
    print(
        f"Ruling {row['number']} on {row['licence']} waits for somebody else's approval: pressmark approve-ruling {row['id']}"
    )
    return 0


def _document(client: Client, options: argparse.Namespace) -> str:
    """The id of the document: one that is attached already, or the file that is attached now."""
    with contextlib.suppress(ValueError):
        return str(uuid.UUID(options.document))
    path = Path(options.document)
    if not path.is_file():
        raise Invalid(f"There is no file {path}.", hint="Name the document that the answers rest on, or the id of one.")
    try:
        row = client.attach_document(
            f"licence:{options.licence}", path, options.kind, "",
            lambda done, total: show_progress(done, total, path.name),
        )  # fmt: skip
    except ApiError as error:
        # a ruling that was refused leaves its document behind, and `register-licence --text` attaches one too
        if error.problem.get("type") != "urn:pressmark:problem:duplicate" or "existing" not in error.problem:
            raise
        return str(error.problem["existing"])
    return str(row["id"])


def _answer(word: str) -> dict[str, str]:
    term, equals, rest = word.partition("=")
    answer, colon, sentence = rest.partition(":")
    if not (equals and colon and term and answer and sentence):
        raise Invalid(
            f"{word!r} is no answer.", hint='Write TERM=ANSWER:SENTENCE, as in "naming=allowed:No name is asked for."'
        )
    return {"term": term, "answer": answer, "sentence": sentence}
