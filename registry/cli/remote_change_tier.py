"""`pressmark change-tier TEAM/USE_CASE TIER --reason TEXT`: more care by hand, or as much less as answers allow."""

from __future__ import annotations

import argparse

from registry.cli.questionnaires import split_use_case
from registry.cli.remote import add_server_arguments, client_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("use_case", metavar="TEAM/USE_CASE")
    parser.add_argument("tier", metavar="TIER", choices=["minimal", "limited", "high"])
    parser.add_argument("--reason", required=True, help="why by hand")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Set it; approvals that were given under the tier before are stale."""
    team, slug = split_use_case(options.use_case)
    body = {"tier": options.tier, "reason": options.reason}
    row = client_of(options).post(f"teams/{team}/use-cases/{slug}/tier", body)
    print(f"{row['team']}/{row['slug']}  tier {row['tier']}")
    return 0
