"""`pressmark login SERVER`: ask once, keep a token."""

from __future__ import annotations

import argparse
import getpass
from pathlib import Path

from registry.cli.remote import connect, remember


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("address", metavar="SERVER", help="such as http://127.0.0.1:8000")
    parser.add_argument("--username")
    parser.add_argument("--password-file", type=Path)


def run(options: argparse.Namespace) -> int:
    """Log in and keep the token; the password is not kept."""
    client = connect(options.address)
    username = options.username or input("User name: ")
    file = options.password_file
    client.log_in(username, file.read_text().strip() if file else getpass.getpass("Password: "))
    path = remember(options.address, client.token or "")
    print(f"Logged in as {username}; the token is kept in {path}.")
    return 0
