"""`pressmark login SERVER`: ask once, keep a token."""

from __future__ import annotations

import argparse
import getpass
import sys
from pathlib import Path

from registry.cli.remote import connect, remember
from registry.errors import Invalid


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("address", metavar="SERVER", help="such as http://127.0.0.1:8000")
    parser.add_argument("--username")
    parser.add_argument("--password-file", type=Path)


def run(options: argparse.Namespace) -> int:
    """Log in and keep the token; the password is not kept."""
    client = connect(options.address)
    username = options.username or _ask_name()
    file = options.password_file
    client.log_in(username, file.read_text().strip() if file else _ask_password())
    path = remember(options.address, client.token or "")
    print(f"Logged in as {username}; the token is kept in {path}.")
    return 0


def _ask_name() -> str:
    _demand_terminal("user name", "--username NAME")
    try:
        return input("User name: ").strip()
    except EOFError:
        raise Invalid("The user name is missing.", hint="Give --username NAME.") from None


def _ask_password() -> str:
    _demand_terminal("password", "--password-file FILE")
    try:
        return getpass.getpass("Password: ")
    except EOFError:
        raise Invalid("The password is missing.", hint="Give --password-file FILE.") from None


def _demand_terminal(what: str, option: str) -> None:
    if not sys.stdin.isatty():
        raise Invalid(f"There is no terminal to ask for the {what} on.", hint=f"Give {option}.")
