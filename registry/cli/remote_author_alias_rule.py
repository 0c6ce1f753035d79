"""`pressmark author-alias-rule TEAM ALIAS ACT ROLE`: keep an act on an alias for one role; somebody else puts it in force."""

from __future__ import annotations

import argparse

from registry.cli.remote import add_server_arguments, client_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("team", metavar="TEAM")
    parser.add_argument("alias", metavar="ALIAS", nargs="?", help="prints who may do what, if left out")
    parser.add_argument("act", metavar="ACT", nargs="?", help="request, promote, roll-back or suspend")
    parser.add_argument("role", metavar="ROLE", nargs="?", help="such as approver")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Write the rule, or print the rights in the team."""
    client = client_of(options)
    if options.role is None:
        for right in client.get(f"teams/{options.team}/alias-rights")["items"]:
            narrowed = "by rule" if right["narrowed"] else ""
            alias = right["alias"] or "(any other)"
            print(f"{alias:20} {right['action']:10} {', '.join(right['roles'])}  {narrowed}".rstrip())
        return 0
    body = {"alias": options.alias, "action": options.act, "role": options.role}
    row = client.post(f"teams/{options.team}/alias-rules", body)
    print(f"{row['id']}  counts once somebody else runs: pressmark approve-alias-rule {row['id']}")
    return 0
