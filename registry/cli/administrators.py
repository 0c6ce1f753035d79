"""Administrators log in at the terminal of the host, for acts that need the files of this machine: keys, checkpoints.

Rules:
- user name and password are asked for, or come from an option and a file; a password is never an option;
- a second administrator, where one is needed, logs in beside the first: both are there;
- a reason is typed, or given with --reason: it is sealed with the act.
"""

from __future__ import annotations

import argparse
import getpass
import sys
from pathlib import Path

from django.contrib.auth import authenticate

from registry.access.models import Actor, ActorKind
from registry.errors import Forbidden, Invalid
from registry.events import Caller


def add_arguments(parser: argparse.ArgumentParser, *, second: bool = False, reason: bool = True) -> None:
    """Options for who acts, and why."""
    parser.add_argument("--administrator", metavar="NAME", help="user name, instead of being asked")
    parser.add_argument("--password-file", type=Path, metavar="FILE", help="read the password from a file")
    if second:
        parser.add_argument("--second", metavar="NAME", help="user name of the second administrator")
        parser.add_argument("--second-password-file", type=Path, metavar="FILE", help="and that one's password")
    if reason:
        parser.add_argument("--reason", metavar="TEXT", help="why, in a sentence; it is sealed with the act")


def first_of(options: argparse.Namespace) -> Caller:
    """The administrator who acts."""
    name = options.administrator or _ask("user name of the administrator", "--administrator NAME")
    person = _log_in(name, options.password_file, "--password-file FILE")
    return Caller(actor_id=person.pk, via="cli")


def second_of(options: argparse.Namespace) -> Actor:
    """The administrator who agrees."""
    name = options.second or _ask("user name of the second administrator", "--second NAME")
    return _log_in(name, options.second_password_file, "--second-password-file FILE")


def reason_of(options: argparse.Namespace) -> str:
    """Why."""
    return str(options.reason or _ask("reason, in a sentence", "--reason TEXT"))


def _log_in(name: str, file: Path | None, option: str) -> Actor:
    if file is not None:
        password = file.read_text(errors="replace").strip()
    else:
        _demand_terminal(f"password of {name}", option)
        password = getpass.getpass(f"Password of {name}: ")
    person = authenticate(None, username=name, password=password)
    if not isinstance(person, Actor) or person.kind != ActorKind.PERSON:
        raise Forbidden(f"The user name {name!r} or its password is wrong.", hint="Nothing was done; try again.")
    return person


def _ask(what: str, option: str) -> str:
    _demand_terminal(what, option)
    try:
        return input(f"{what[0].upper()}{what[1:]}: ").strip()
    except EOFError:
        raise Invalid(f"The {what} is missing.", hint=f"Give {option}.") from None


def _demand_terminal(what: str, option: str) -> None:
    if not sys.stdin.isatty():
        raise Invalid(f"There is no terminal to ask for the {what} on.", hint=f"Give {option}.")
