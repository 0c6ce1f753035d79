"""`pressmark init`: secret, database, keys, entry 0, first administrator. Nothing is overwritten, ever."""

from __future__ import annotations

import argparse
import getpass
import os
import secrets
import sys
from pathlib import Path

from django.conf import settings
from django.core.management import call_command

from audit import keys, seat
from audit import services as audit_services
from audit.models import Entry
from registry.access import services as access
from registry.access.models import SYSTEM_ROLE, Actor, Role
from registry.access.queries import system_actor
from registry.errors import Conflict, Invalid
from registry.events import Caller, unit
from registry.ids import uuid7


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--administrator", default="admin", metavar="NAME", help="user name of the first administrator")
    parser.add_argument("--email", default="")
    parser.add_argument("--password-file", type=Path, help="read the password from a file instead of asking")


def run(options: argparse.Namespace) -> int:
    """Set up PRESSMARK_HOME and the database; print the fingerprint that outsiders should keep."""
    home = Path(settings.PRESSMARK_HOME)
    home.mkdir(mode=0o700, parents=True, exist_ok=True)  # what is in it is read through the server, not around it
    _make_secret(home / "secret_key")
    call_command("migrate", verbosity=0, interactive=False)
    if Entry.objects.exists():
        raise Conflict(f"{home} is set up already.", hint="Start it with `pressmark serve`.")
    password = _password(options.password_file)
    access.check_password(password, options.administrator)
    instance = uuid7()
    log, issuer = audit_services.make_keys(audit_services.origin_of(instance, 1), keys.folder())
    audit_services.create_ledger(instance=instance, log=log, issuer=issuer)
    seat.take(log.name)
    _first_administrator(options.administrator, options.email, password)
    print(f"Set up in {home}\n")
    print("Keep these two lines outside this machine; whoever checks a bundle needs one of them:")
    print(f"  {log.key_line}\n  {issuer.key_line}\n")
    print("Start with `pressmark serve`, then open http://127.0.0.1:8000/ and log in as", options.administrator)
    return 0


def _make_secret(path: Path) -> None:
    if path.exists():
        return
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as target:
        target.write(secrets.token_urlsafe(50) + "\n")


def _password(file: Path | None) -> str:
    if file is not None:
        return file.read_text().strip()
    if not sys.stdin.isatty():
        raise Invalid("There is no terminal to ask for a password on.", hint="Give --password-file FILE.")
    first = getpass.getpass("Password of the first administrator: ")
    if first != getpass.getpass("The same again: "):
        raise Invalid("The two are not the same.", hint="Run `pressmark init` again.")
    return first


def _first_administrator(name: str, email: str, password: str) -> Actor:
    setup = Caller(actor_id=system_actor().pk, via="setup")
    with unit(setup, role=SYSTEM_ROLE) as opened:
        person = access.add_actor(name, "person", name, email, password, opened.now)
        access.add_membership(person, Role.ADMINISTRATOR, None, setup.actor_id, opened.now)
    return person
