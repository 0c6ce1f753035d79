"""`pressmark register-model TEAM/MODEL`."""

from __future__ import annotations

import argparse

from registry.cli.remote import add_server_arguments, client_of, split_model


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="TEAM/MODEL")
    parser.add_argument("--title", default="")
    parser.add_argument("--owner", help="user name; you, if left out")
    parser.add_argument("--use-case", help="name of a use case of the same team")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Register it."""
    team, model = split_model(options.model)
    body = {"slug": model, "title": options.title, "owner": options.owner, "use_case": options.use_case}
    client_of(options).post(f"teams/{team}/models", body)
    print(f"Registered {team}/{model}.")
    return 0
