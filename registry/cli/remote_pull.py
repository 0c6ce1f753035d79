"""`pressmark pull TEAM/MODEL@ALIAS FOLDER`: every file of a version, each checked against its digest."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from compression_engine.manifest import MANIFEST_NAME
from registry.cli.remote import add_server_arguments, client_of, split_version
from registry.cli.remote_show import resolve
from registry.digests import sha256, version_document
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
    manifest, manifest_file = _manifest(version), options.folder / MANIFEST_NAME
    taken = [str(target) for target in [*(target for _, target in targets), manifest_file] if target.exists()]
    if taken:
        raise Conflict(f"{taken[0]} is there already.", hint="Pull into an empty folder.")
    for file, target in targets:
        target.parent.mkdir(parents=True, exist_ok=True)
        path = f"teams/{team}/models/{model}/versions/{version['number']}/files/{file['path']}"
        client.download(path, target, file["digest"])
        print(f"{file['digest']}  {target}")
    manifest_file.write_bytes(manifest)  # last: where it lies, every file is there
    print(f"{version['ref']}  {version['digest']}")
    return 0


def _manifest(version: dict[str, Any]) -> bytes:
    """The version document, whose digest is the version's: by it a file is known later, and what is measured bound to it."""
    manifest = version_document(version["files"])
    if sha256(manifest) != version["digest"]:
        raise Conflict(
            f"The files of {version['ref']} are not those of {version['digest']}.", hint="Tell its operator."
        )
    return manifest
