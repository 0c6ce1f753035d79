"""`pressmark choose-mail on|off`: whether notices come by mail as well."""

from __future__ import annotations

import argparse

from registry.cli.remote import add_server_arguments, client_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("wanted", choices=["on", "off"], help="`/notices/` tells in any case")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Say so to the server."""
    wanted = client_of(options).post("notices/mail", {"wanted": options.wanted == "on"})["mail"]
    print(
        "Notices come by mail as well." if wanted else "No notice comes by mail; `pressmark list-notices` has them all."
    )
    return 0
