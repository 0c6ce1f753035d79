"""`pressmark bundle TEAM/MODEL[@N] | --instance`: issue a bundle, wait until a checkpoint covers it, and fetch it."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from registry.cli.remote import add_server_arguments, client_of, split_model, split_version
from registry.cli.remote_show import resolve
from registry.client import ApiError, Client
from registry.errors import Conflict, Invalid

PENDING_SECONDS = 60
SILENT_SECONDS = 5
_CHECKPOINT_LIMIT_BYTES = 1024 * 1024
_KEEPER = (
    "Is the keeper running? On the server's machine `pressmark keeper` starts it, `pressmark serve` all that is needed; "
    "/health/ and `pressmark check` say why it does not sign."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    about = "a model, or one version of it: a number, an alias, or sha256:..."
    parser.add_argument("subject", nargs="?", metavar="TEAM/MODEL[@N]", help=about)
    parser.add_argument(
        "--instance", action="store_true", help="the whole installation; needs a role in the whole of it"
    )
    since = (
        "a checkpoint that the recipient holds; the bundle proves that the log of today continues it. For one that is newer "
        "than a bundle they have already: `pressmark prove-consistency`"
    )
    parser.add_argument("--since", type=Path, metavar="FILE", help=since)
    parser.add_argument("--output", type=Path, metavar="FILE", help="pressmark-bundle-ID.zip, if left out")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Issue, wait, fetch; says the file, its digest and how to check it."""
    if options.instance == bool(options.subject):
        raise Invalid(
            "A bundle is about one thing.",
            hint="Name a model (TEAM/MODEL), a version (TEAM/MODEL@N), or say --instance.",
        )
    if options.output and options.output.exists():
        raise Conflict(f"{options.output} is there already.", hint="Name another file with --output.")
    body = {"checkpoint": checkpoint_text(options.since)} if options.since else {}
    client = client_of(options)
    issued = issue(client, options.subject, body)
    print(f"Bundle {issued['id']} is issued and sealed in the ledger.")
    target = options.output or Path(f"pressmark-bundle-{issued['id']}.zip")
    digest = fetch(client, issued["id"], target, PENDING_SECONDS)
    print(f"{digest}  {target}")
    print(f"Check it: pressmark verify {target} --key KEYLINE --checkpoint FILE")
    return 0


def issue(client: Client, subject: str | None, body: dict[str, Any]) -> dict[str, Any]:
    """Issue a bundle about what the command line names."""
    if subject is None:
        issued: dict[str, Any] = client.post("ledger/bundles", body)
        return issued
    if "@" in subject:
        version = resolve(client, subject)
        team, model, _ = split_version(version["ref"])
        body = {**body, "version": version["number"]}
    else:
        team, model = split_model(subject)
    issued = client.post(f"teams/{team}/models/{model}/bundles", body)
    return issued


def fetch(client: Client, bundle_id: str, target: Path, timeout: float) -> str:
    """Download it as soon as the keeper has signed a checkpoint past it; answers the digest, checked while it arrived."""
    begun, told = time.monotonic(), False
    while True:
        try:
            return client.download(f"bundles/{bundle_id}/bundle.zip", target)
        except ApiError as error:
            if not str(error.problem.get("type", "")).endswith(":pending"):
                raise
            waited = time.monotonic() - begun
            if waited > timeout:
                raise Conflict(
                    f"No checkpoint covered the bundle within {timeout:.0f} s; it is issued all the same.",
                    hint=f"{_KEEPER} The bundle can be had later, on its page /bundles/{bundle_id}/.",
                ) from None
            if waited > SILENT_SECONDS and not told:
                told = True
                print(f"Waiting for the keeper to sign a checkpoint past it, {timeout:.0f} s at most.", file=sys.stderr)
                print(f"  {_KEEPER}", file=sys.stderr)
        time.sleep(0.5)


def checkpoint_text(path: Path) -> str:
    """The note in a file, as it was given to the recipient."""
    data = path.read_bytes()
    try:
        if len(data) > _CHECKPOINT_LIMIT_BYTES:
            raise ValueError
        return data.decode()
    except ValueError:
        raise Invalid(f"{path} is no checkpoint.", hint="Give the file with the note as it was given to you.") from None
