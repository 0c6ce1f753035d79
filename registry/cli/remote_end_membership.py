"""`pressmark end-membership NAME ROLE`: a role in a team, or in the whole instance, is taken away."""

from __future__ import annotations

import argparse

from registry.cli.remote import add_server_arguments, client_of, only_one


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="user name of the person or service account")
    parser.add_argument("role", metavar="ROLE", help="such as engineer or compliance_officer")
    parser.add_argument("--team", metavar="TEAM", help="a role in the whole instance, if left out")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """End it."""
    client = client_of(options)
    asked = [("username", options.name), *([("team", options.team)] if options.team else [])]
    found = [
        m for m in client.get("memberships", asked)["items"] if (m["role"], m["team"]) == (options.role, options.team)
    ]
    where = f"in the team {options.team}" if options.team else "in the whole instance"
    what = f"{options.name} is no {options.role} {where}"
    held = only_one(found, what, "For a role in a team say --team TEAM; who-am-i of the person shows every role.")
    client.post(f"memberships/{held['id']}/end")
    print(f"{options.name} is no longer {options.role} {where}. What was done under it stays done.")
    return 0
