"""`pressmark as-of TEAM/MODEL --at TIME`: a model, or a whole team, as the ledger says it was at a moment."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from typing import Any

from registry.cli.remote import add_server_arguments, client_of, split_model
from registry.client import Client
from registry.errors import Invalid

_QUESTIONS = ("at", "position", "compare_at", "compare_position")
Answer = Mapping[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("subject", metavar="TEAM/MODEL", help="a model; TEAM alone for all of its models")
    moment = parser.add_mutually_exclusive_group()
    moment.add_argument(
        "--at", metavar="TIME", help="such as 2026-03-01T12:00:00Z; UTC where no zone is given; else now"
    )
    moment.add_argument("--position", metavar="N", help="instead of a time: the last entry that counts")
    other = parser.add_mutually_exclusive_group()
    other.add_argument("--compare-at", metavar="TIME", help="say what changed between the two moments")
    other.add_argument("--compare-position", metavar="N", help="instead of another time")
    parser.add_argument("--json", action="store_true", help="everything, with reasons, evidence and entry positions")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Print the answer; with two moments, what changed between them."""
    asked = {name: getattr(options, name) for name in _QUESTIONS if getattr(options, name) is not None}
    is_model = "/" in options.subject
    if not is_model and (options.compare_at or options.compare_position):
        raise Invalid("Two moments are compared for one model.", hint="Write TEAM/MODEL.")
    client = client_of(options)
    if is_model:
        team, model = split_model(options.subject)
        answer = client.get(_address(f"teams/{team}/models/{model}/as-of", asked))
    else:
        answer = _whole_team(client, options.subject, asked)
    if options.json:
        print(json.dumps(answer, indent=1))
        return 0
    told = model_lines(answer) if is_model else team_lines(answer)
    print("\n".join(_printable(line) for line in [answer["as_of"]["sentence"], *told]))
    return 0


def _address(path: str, query: Mapping[str, str]) -> str:
    """The client writes what stands in a query as an address needs it, but for what parts one value from the next."""
    wrong = next((value for value in query.values() if "&" in value or "=" in value), None)
    if wrong is not None:
        raise Invalid(f"{wrong!r} is no moment.", hint="Give a time such as 2026-03-01T12:00:00Z, or a position.")
    return f"{path}?{'&'.join(f'{name}={value}' for name, value in query.items())}"


def _whole_team(client: Client, team: str, asked: Mapping[str, str]) -> dict[str, Any]:
    """All pages of a team; those after the first at the position of the first, for the ledger may grow meanwhile."""
    answer: dict[str, Any] = client.get(_address(f"teams/{team}/as-of", asked))
    following = answer["next"]
    while following:
        position = str(answer["as_of"]["position"])
        more = client.get(_address(f"teams/{team}/as-of", {"position": position, "after": following}))
        answer["models"] += more["models"]
        following = more["next"]
    answer["next"] = None
    return answer


def _printable(line: str) -> str:
    """Names are what somebody typed: nothing of them steers the terminal."""
    return "".join(c if c.isprintable() else " " for c in line)


# --- a model ---


def model_lines(answer: Answer) -> Iterator[str]:
    """A model, as the API answers, in lines."""
    model = answer["model"]
    if answer["changes"] is not None:
        yield from _change_lines(answer["changes"])
        return
    if model is None:
        yield f"{answer['name']} was not registered yet."
        return
    use_case = model["use_case"]
    purpose = f"use case {use_case['name']}, tier {use_case['tier']}" if use_case else "no use case"
    yield f"{answer['name']}  owner {_who(model['owner'])}, {purpose}"
    yield "Served"
    for alias in answer["aliases"]:
        yield f"  {_alias_line(alias)}"
    yield "Allowed"
    for row in answer["approvals"]:
        yield f"  {_approval_line(row)}"
    for policy in answer["policies"]:
        if policy["judges"]:
            yield f"  policy {policy['policy']}  {policy['digest']}  since {policy['in_force_at']}"
    yield from _waiver_lines(answer["waivers"])
    yield "Versions"
    for version in answer["versions"]:
        stopped = "  QUARANTINED then, by a recall" if version["quarantined"] else ""
        yield f"  {version['number']:>4}  {version['digest']}  {version['licence']}{stopped}"
        for edge in version["edges"]:
            words = ", ".join([edge["role"], *edge["operations"], edge["grade"]])
            yield f"        from {edge['name'] or edge['digest']} ({words})"


def _alias_line(alias: Answer) -> str:
    move = alias["moves"][0]
    how = f"{move['kind']} {move['since']} by {_who(move['by'])}"
    if alias["serves"] is None:
        return f"{alias['alias']}: nothing  {how}"
    allowed = alias["approval"]
    people = allowed["granted_by"] if allowed else []
    granted = ", ".join(f"{_who(person)}{_for_whom(person['on_behalf_of'])}" for person in people) or "nobody"
    worth = allowed["status"] if allowed else "missing"
    glass = move["emergency"]
    said = _emergency(glass, move["reason"]) if glass else f"granted by {granted}, worth then: {worth}"
    return f"{alias['alias']}: version {move['version']}  {move['digest']}  {how}; {said}"


def _emergency(glass: Answer, reason: Answer | None) -> str:
    why = f": {reason['value']}" if reason and reason["value"] else ""
    return (
        f"WITHOUT AN APPROVAL, in an emergency until {glass['ends_at']}{' (over then)' if glass['over'] else ''}{why}"
    )


def _approval_line(row: Answer) -> str:
    decisions = [f"{d['kind']} by {_who(d['by'])}{_for_whom(d['on_behalf_of'])}" for d in row["decisions"]]
    told = ", ".join([f"requested by {_who(row['requested_by'])}", *decisions])
    return " ".join([f"version {row['version']} for {row['alias']}: {row['status']}  {told}.", *row["status_reasons"]])


def _for_whom(principal: Answer | None) -> str:
    """A deputy decides in somebody's place; both answer for it."""
    return f" in the place of {_who(principal)}" if principal else ""


def _waiver_lines(waivers: list[Answer]) -> Iterator[str]:
    for waiver in waivers:
        signed = f"signed by {_who(waiver['signed_by'])}, until {waiver['expires_at']}"
        yield f"  waiver of {waiver['rule']} for version {waiver['version']}: {waiver['state']}  {signed}"


def _change_lines(changes: Answer) -> Iterator[str]:
    start, end = changes["from"], changes["to"]
    yield f"From position {start['position']} to position {end['position']}: {changes['entries']} entries of this model."
    for change in changes["found"]:
        place = "-" if change["position"] is None else str(change["position"])
        yield f"  {place:>8}  {change['sentence']}"
    if not changes["found"]:
        yield "Nothing changed in what was served, allowed or registered."


# --- a team ---


def team_lines(answer: Answer) -> Iterator[str]:
    """A team, as the API answers, in lines."""
    yield f"Team {answer['team']}, {answer['total']} models"
    for model in answer["models"]:
        newest = model["newest_version"]
        yield f"  {model['model']}  {model['versions']} versions" + (f", the newest {newest}" if newest else "")
        for alias in model["aliases"]:
            served = f"version {alias['version']}  {alias['digest']}" if alias["version"] else "nothing"
            said = f", {_emergency(alias['emergency'], None)}" if alias["emergency"] else ""
            yield f"    {alias['alias']}: {served}  {alias['kind']} {alias['since']} by {_who(alias['by'])}{said}"
    for policy in answer["policies"]:
        yield f"  policy {policy['policy']}  {policy['digest']}  since {policy['in_force_at']}"


def _who(person: Answer | None) -> str:
    if person is None:
        return "nobody"
    name = person["name"] or f"actor {person['id'][:8]}"
    return f"{name} as {person['role'].replace('_', ' ')}" if person["role"] else str(name)
