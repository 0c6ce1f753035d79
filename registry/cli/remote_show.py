"""`pressmark show TEAM/MODEL@N`: a version as the server tells it."""

from __future__ import annotations

import argparse
import json
from typing import Any

from registry.cli.remote import add_server_arguments, client_of, split_version
from registry.client import Client

_WHOLE = 12  # characters of a figure that are shown as they stand, such as a number of bytes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("version", metavar="TEAM/MODEL@N", help="a number, an alias, or sha256:...")
    parser.add_argument("--json", action="store_true")
    add_server_arguments(parser)


def resolve(client: Client, reference: str) -> dict[str, Any]:
    """The version that a number, an alias or a digest names now."""
    team, model, name = split_version(reference)
    if not name.isdigit():
        name = client.get(f"teams/{team}/models/{model}/resolve/{name}")["version"].rpartition("@")[2]
    version: dict[str, Any] = client.get(f"teams/{team}/models/{model}/versions/{name}")
    return version


def run(options: argparse.Namespace) -> int:
    """Identity, files, evidence."""
    client = client_of(options)
    version = resolve(client, options.version)
    if options.json:
        print(json.dumps(version, indent=1))
        return 0
    print(f"{version['ref']}  {version['digest']}")
    print(f"{version['origin']}, {version['format']}, {version['size_bytes']} bytes, {version['licence']}")
    for file in version["files"]:
        print(f"  {file['role']:<14} {file['path']:<40} {file['digest']}")
    team, model, _ = split_version(version["ref"])
    evidence = client.get(f"teams/{team}/models/{model}/versions/{version['number']}/evidence")["items"]
    for item in evidence:
        print(f"  {item['source']:<9} {item['kind']:<14} {item['digest']}")
        for figure in item["document"]["figures"]:
            if not figure["slice"]:
                print(
                    f"            {figure['metric']:<28} {_short(figure['value'])} {figure['unit']} (n={figure['n']})"
                )
    return 0


def _short(value: str | None) -> str:
    """Six significant digits for the eye; `--json` gives every one."""
    if value is None:
        return "-"
    return value if len(value) <= _WHOLE else f"{float(value):.6g}"
