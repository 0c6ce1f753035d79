"""`pressmark register-dataset-version TEAM/DATASET PATH`: upload a file, or every file of a folder, as the next state of data."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from registry.cli.remote import add_server_arguments, client_of, show_progress, split_model
from registry.cli.remote_register_version import files_of
from registry.client import Client

_ANSWERS = ("personal-data", "consent", "third-party-works", "opt-out-honoured")
_SENTENCES = ("collection", "third-party-basis", "owner", "known-biases")
_DAYS = ("collected-from", "collected-until", "retain-until")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", metavar="TEAM/DATASET")
    parser.add_argument("path", type=Path, help="a file of rows, or a folder of them")
    parser.add_argument("--licence", required=True, metavar="SPDX")
    parser.add_argument("--origin", required=True, metavar="TEXT", help="where the data comes from, in a sentence")
    parser.add_argument("--use", action="append", required=True, metavar="USE", help="training, calibration, ...")
    parser.add_argument("--new", action="store_true", help="register the dataset too; it is not there yet")
    add_statements(parser)
    add_server_arguments(parser)


def add_statements(parser: argparse.ArgumentParser) -> None:
    """What may be said about a state of data beside licence, origin and use."""
    for name in _ANSWERS:
        parser.add_argument(f"--{name}", choices=["yes", "no", "unknown"])
    for name in _SENTENCES:
        parser.add_argument(f"--{name}", metavar="TEXT")
    for name in _DAYS:
        parser.add_argument(f"--{name}", metavar="YYYY-MM-DD")


def statements_of(options: argparse.Namespace) -> dict[str, Any]:
    """What was said of it, by the names of the API."""
    names = [name.replace("-", "_") for name in (*_ANSWERS, *_SENTENCES, *_DAYS)]
    return {name: getattr(options, name) for name in names if getattr(options, name) is not None}


def run(options: argparse.Namespace) -> int:
    """Upload and register; says the reference, the rows and the digest."""
    team, dataset = split_model(options.dataset)
    client = client_of(options)
    if options.new:
        client.post(f"teams/{team}/datasets", {"slug": dataset})
    body = {"licence": options.licence, "origin": options.origin, "uses": options.use, **statements_of(options)}
    version = client.post(f"teams/{team}/datasets/{dataset}/versions", {**body, **_uploaded(client, options.path)})
    print(f"{version['ref']}  {version['row_count']} rows  {version['digest']}")
    return 0


def _uploaded(client: Client, path: Path) -> dict[str, Any]:
    files = []
    for file in files_of(path):
        name = file.name if path.is_file() else file.relative_to(path).as_posix()
        sent = client.upload(file, lambda done, total, name=name: show_progress(done, total, name))  # type: ignore[misc]
        files.append({"path": name, "digest": sent["digest"]})
    return {"digest": files[0]["digest"]} if path.is_file() else {"files": files}
