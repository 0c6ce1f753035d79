"""What the verbs that talk to a server share: the remembered login, receipts, references, progress on the terminal."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from registry.cli.places import login_file, write_private
from registry.cli.receipts import keep
from registry.client import Client
from registry.errors import Invalid


def add_server_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--server", help="instead of the remembered one (PRESSMARK_SERVER)")
    parser.add_argument("--token-file", type=Path, help="instead of the remembered token (PRESSMARK_TOKEN)")


def client_of(options: argparse.Namespace) -> Client:
    """A client from options, environment, or the remembered login, in this order."""
    remembered: dict[str, str] = {}
    if login_file().is_file():
        remembered = _remembered(login_file())
    server = options.server or os.environ.get("PRESSMARK_SERVER") or remembered.get("server")
    token = options.token_file.read_text().strip() if options.token_file else None
    token = token or os.environ.get("PRESSMARK_TOKEN") or remembered.get("token")
    if not server or not token:
        raise Invalid("No server and token are known.", hint="Run `pressmark login SERVER` once.")
    return connect(server, token, said=getattr(options, "said", ""))


def connect(server: str, token: str | None = None, *, said: str = "") -> Client:
    """A client, or a plain word on an address that is none. `said`: the words under which its receipts are kept."""
    try:
        return Client(server, token, keep=partial(keep, said=said))
    except ValueError:
        raise Invalid(f"{server!r} is no address of a server.", hint="Write it like http://127.0.0.1:8000.") from None


def _remembered(path: Path) -> dict[str, str]:
    try:
        kept = json.loads(path.read_text())
    except ValueError:
        kept = None
    if not isinstance(kept, dict):
        raise Invalid(f"{path} cannot be read.", hint="Run `pressmark login SERVER` again; it writes the file anew.")
    return kept


def remember(server: str, token: str) -> Path:
    """Keep a login for the verbs that follow."""
    path = login_file()
    write_private(path, json.dumps({"server": server, "token": token}).encode())
    return path


def split_model(reference: str) -> tuple[str, str]:
    """`team/model` in its two parts."""
    team, slash, model = reference.partition("/")
    if not slash or not team or not model or "/" in model or "@" in model:
        raise Invalid(f"{reference!r} names no model.", hint="Write TEAM/MODEL.")
    return team, model


def split_version(reference: str) -> tuple[str, str, str]:
    """`team/model@7`, `@production` or `@sha256:...` in its three parts."""
    model, at, version = reference.partition("@")
    if not at or not version:
        raise Invalid(f"{reference!r} names no version.", hint="Write TEAM/MODEL@NUMBER or TEAM/MODEL@ALIAS.")
    return (*split_model(model), version)


def only_one(rows: Sequence[dict[str, Any]], otherwise: str, hint: str) -> dict[str, Any]:
    """The one row that was meant."""
    if not rows:
        raise Invalid(f"There is nothing to end or erase: {otherwise}.", hint=hint)
    if len(rows) > 1:
        raise Invalid(f"{len(rows)} things are meant by that; one is needed.", hint=hint)
    return rows[0]


def show_progress(done: int, total: int, what: str) -> None:
    """One line on the terminal, rewritten; nothing where the output goes to a file."""
    if sys.stderr.isatty():
        end = "\n" if done >= total else ""
        print(f"\r{what}: {done / max(total, 1):4.0%}", end=end, file=sys.stderr, flush=True)
