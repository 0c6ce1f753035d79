"""`pressmark appoint-deputy NAME --role ROLE --until TIME --reason TEXT`: somebody decides in your place for a while."""

from __future__ import annotations

import argparse

from registry.cli.remote import add_server_arguments, client_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("deputy", metavar="NAME", help="user name of who decides in your place")
    parser.add_argument("--role", required=True, choices=("approver", "compliance_officer"), help="yours, that is lent")
    parser.add_argument("--team", metavar="TEAM", help="in this team alone; everywhere, if left out")
    parser.add_argument("--from", dest="begins", metavar="TIME", help="at once, if left out")
    parser.add_argument("--until", required=True, metavar="TIME", help="such as 2026-01-31T12:00:00Z")
    parser.add_argument("--reason", required=True, metavar="TEXT")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Appoint; what the deputy decides stands on record under both names."""
    row = client_of(options).appoint_deputy(
        options.deputy, options.role, options.until, options.reason, team=options.team, begins_at=options.begins
    )
    print(f"{row['id']}  {row['deputy']} stands for you as {row['role']} until {row['ends_at'][:16]}")
    return 0
