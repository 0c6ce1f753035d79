"""`pressmark measure MODEL --data ROWS`: measure a model on the host that serves it, and push what was found.

Needs onnxruntime and numpy, no Django. The engine runs as a child process: its memory and threads are what is measured.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from compression_engine.commands import target as target_command
from registry.cli.remote import add_server_arguments, client_of, show_progress, split_version
from registry.cli.remote_show import resolve
from registry.client import ApiError, Client
from registry.errors import Conflict, Forbidden, Invalid

_TYPE = "pressmark/target_measurement/1"
_DUPLICATE = "urn:pressmark:problem:duplicate"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    target_command.add_arguments(parser, all_required=False)
    parser.add_argument(
        "--push", metavar="TEAM/MODEL@N", help="keep it with this version; MODEL may be a FILE that was measured before"
    )
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Measures, writes the document, says every figure, and pushes it where that is asked for."""
    before = options.model.suffix == ".json"
    _check_call(options, before)
    client = None if options.push is None else client_of(options)
    version = None if client is None else resolve(client, options.push)
    if client is not None and version is not None and not before:
        _check_right(client, version)
    document = _read(options.model) if before else _measured(target_command.words_of(options))["measurement"]
    if not before:
        for sentence in document["evidence"][0]["plain"]:
            print(sentence)
        print(f"host {document['host_digest']}\nsettings {document['settings_digest']}\nWritten: {options.output}")
    if client is not None and version is not None:
        _push(client, version, document, options.model if before else options.output)
    return 0


def _check_right(client: Client, version: dict[str, Any]) -> None:
    """Forbidden where the caller may not keep a measurement of the version: told before minutes of measuring, not after."""
    if not client.get(_path(version)).get("may_record", True):  # an older server does not say it
        raise Forbidden(
            f"You may not keep a measurement of {version['ref']}: that needs the role operator or service account in its team.",
            hint="Ask an administrator for the role; or leave --push out, and have somebody push the FILE who has it.",
        )


def _path(version: dict[str, Any]) -> str:
    team, model, _ = split_version(version["ref"])
    return f"teams/{team}/models/{model}/versions/{version['number']}/target-measurements"


def _check_call(options: argparse.Namespace, before: bool) -> None:
    if before and options.push is None:
        raise Invalid(f"{options.model} was measured before.", hint="Say with --push TEAM/MODEL@N where to keep it.")
    if not before and (options.data is None or options.output is None):
        raise Invalid(
            "Measuring needs rows, and a file to write to.", hint="Give --data ROWS and --output FILE, see --help."
        )


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or document.get("type") != _TYPE:
        raise Invalid(f"{path} is no measurement.", hint="Give the FILE that `pressmark measure` wrote, unchanged.")
    return document


def _measured(words: list[str]) -> dict[str, Any]:
    """Runs the engine, shows how far it is, and gives its last line; a refusal of the engine is a Conflict."""
    command = [sys.executable, "-m", "compression_engine", "target", "--json", *words]
    last: dict[str, Any] = {}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as engine:
        assert engine.stdout is not None
        for line in engine.stdout:
            last = json.loads(line)
            if last["type"] == "progress":
                show_progress(last["done"], last["total"], f"{last['stage']}: {last['message']}")
    if last.get("type") == "result":
        return last
    if last.get("type") == "error":
        raise Conflict(last["message"], hint=last["hint"])
    raise Conflict(
        f"Measuring ended with status {engine.returncode} and no answer.",
        hint="Is enough memory free? The engine's own words stand above.",
    )


def _push(client: Client, version: dict[str, Any], document: dict[str, Any], file: Path) -> None:
    """Sends the document about exactly the version that was measured; what is refused stays in its file."""
    measured = document["version_digest"]
    if measured is not None and measured != version["digest"]:
        raise Invalid(
            f"What was measured is {measured}, {version['ref']} is {version['digest']}.",
            hint=f"Name the version that lies here: pressmark measure {file} --push TEAM/MODEL@N.",
        )
    try:
        kept = client.post(_path(version), document)
    except ApiError as error:
        if error.problem.get("type") == _DUPLICATE:
            raise
        again = f"The measurement is kept: pressmark measure {file} --push {version['ref']} sends it again."
        raise ApiError(error.status, {**error.problem, "hint": f"{error.hint} {again}".strip()}) from None
    print(f"{version['ref']}  {kept['digest']}")
