"""`pressmark end-monitor TEAM/MODEL MONITOR`: watch no longer."""

from __future__ import annotations

import argparse

from registry.cli.remote import add_server_arguments, client_of, split_model


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="TEAM/MODEL")
    parser.add_argument("monitor", metavar="MONITOR", help="its name")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """End it; what it saw stays."""
    team, model = split_model(options.model)
    client_of(options).post(f"teams/{team}/models/{model}/monitors/{options.monitor}/end")
    print(f"The monitor {options.monitor} of {options.model} has ended; what it saw stays.")
    return 0
