"""What the verbs that talk to a server share: the remembered login, references, progress on the terminal."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from registry.client import Client
from registry.errors import Invalid


def login_file() -> Path:
    """Where `pressmark login` keeps server and token (mode 0600)."""
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "pressmark" / "login.json"


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
    return connect(server, token)


def connect(server: str, token: str | None = None) -> Client:
    """A client, or a plain word on an address that is none."""
    try:
        return Client(server, token)
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
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as target:
        json.dump({"server": server, "token": token}, target)
    return path


def split_model(reference: str) -> tuple[str, str]:
    """`team/model` in its two parts."""
    team, slash, model = reference.partition("/")
    if not slash or not team or not model or "@" in model:
        raise Invalid(f"{reference!r} names no model.", hint="Write TEAM/MODEL.")
    return team, model


def split_version(reference: str) -> tuple[str, str, str]:
    """`team/model@7`, `@production` or `@sha256:...` in its three parts."""
    model, at, version = reference.partition("@")
    if not at or not version:
        raise Invalid(f"{reference!r} names no version.", hint="Write TEAM/MODEL@NUMBER or TEAM/MODEL@ALIAS.")
    return (*split_model(model), version)


def show_progress(done: int, total: int, what: str) -> None:
    """One line on the terminal, rewritten; nothing where the output goes to a file."""
    if sys.stderr.isatty():
        end = "\n" if done >= total else ""
        print(f"\r{what}: {done / max(total, 1):4.0%}", end=end, file=sys.stderr, flush=True)
