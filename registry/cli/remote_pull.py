"""`pressmark pull TEAM/MODEL@ALIAS FOLDER`: every file of a version, each checked against its digest."""

from __future__ import annotations

import argparse
from pathlib import Path

from registry.cli.remote import add_server_arguments, client_of, split_version
from registry.cli.remote_show import resolve
from registry.errors import Conflict


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("version", metavar="TEAM/MODEL@ALIAS", help="an alias, a number, or sha256:...")
    parser.add_argument("folder", type=Path, help="made if it is not there; files that differ are never overwritten")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Nothing takes its name before its digest was right."""
    client = client_of(options)
    version = resolve(client, options.version)
    team, model, _ = split_version(version["ref"])
    targets = [(file, options.folder / file["path"]) for file in version["files"]]
    taken = [str(target) for _, target in targets if target.exists()]
    if taken:
        raise Conflict(f"{taken[0]} is there already.", hint="Pull into an empty folder.")
    for file, target in targets:
        target.parent.mkdir(parents=True, exist_ok=True)
        path = f"teams/{team}/models/{model}/versions/{version['number']}/files/{file['path']}"
        client.download(path, target, file["digest"])
        print(f"{file['digest']}  {target}")
    print(f"{version['ref']}  {version['digest']}")
    return 0
