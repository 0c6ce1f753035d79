"""What changed between two moments of one model, from two answers in the shape of `history_shapes`. Pure, without Django.

Rules:
- a change names what it is about, what was before and what is after, and the entry that made it, where an entry did;
- what an approval is worth may change without an act on it (it expires, or becomes stale): then the reasons are told;
- an alias that was moved and came back has changed too: the moves between are counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Shape = dict[str, Any]
_NOTHING = "nothing"


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Shape]:
    """Every change from one answer to a later one, in the order of the entries that made them; those without an entry last."""
    found = [
        *_of_model(before["model"], after["model"]),
        *_of_versions(_by(before["versions"], "id"), after["versions"]),
        *_of_aliases(_by(before["aliases"], "id"), after["aliases"]),
        *_of_policies(_by(before["policies"], "id"), _by(after["policies"], "id")),
        *_of_approvals(_by(before["approvals"], "id"), after["approvals"]),
        *_of_waivers(_by(before["waivers"], "id"), after["waivers"]),
    ]
    return sorted(found, key=lambda c: (c["position"] is None, c["position"] or 0))


def _change(
    what: str, subject: str, before: str | None, after: str | None, position: int | None, sentence: str
) -> Shape:
    return {
        "after": after,
        "before": before,
        "position": position,
        "sentence": sentence,
        "subject": subject,
        "what": what,
    }


def _by(items: Iterable[Shape], key: str) -> dict[str, Shape]:
    return {item[key]: item for item in items}


def who(person: Mapping[str, Any] | None) -> str:
    """A person in a sentence."""
    if person is None:
        return "nobody"
    name = str(person["name"] or f"actor {person['id'][:8]}")
    return f"{name} as {person['role'].replace('_', ' ')}" if person.get("role") else name


# --- the model ---


def _of_model(before: Shape | None, after: Shape | None) -> Iterator[Shape]:
    if after is None:
        return
    position = after["position"]
    if before is None:
        said = f"The model was registered by {who(after['registered_by'])}."
        yield _change("model-registered", "model", None, "registered", position, said)
        return
    if before["owner"]["id"] != after["owner"]["id"]:
        old, new = who(before["owner"]), who(after["owner"])
        yield _change("owner-changed", "model", old, new, position, f"The owner was {old}, then {new}.")
    yield from _of_use_case(before["use_case"], after["use_case"], position)
    if after["ended_at"] and not before["ended_at"]:
        yield _change("model-ended", "model", None, "ended", position, "The model ended.")


def _of_use_case(before: Shape | None, after: Shape | None, position: int) -> Iterator[Shape]:
    old = before["name"] if before else None
    new = after["name"] if after else None
    if (before and before["id"]) != (after and after["id"]):
        said = f"The use case was {old or _NOTHING}, then {new or _NOTHING}."
        yield _change("use-case-changed", "model", old, new, position, said)
    elif before and after and before["tier"] != after["tier"]:
        said = f"The tier of {new} was {before['tier']}, then {after['tier']}."
        yield _change("tier-changed", new or "", before["tier"], after["tier"], after["position"], said)
    elif before and after and after["ended_at"] and not before["ended_at"]:
        yield _change("use-case-ended", new or "", None, "ended", after["position"], f"The use case {new} ended.")


# --- versions ---


def _of_versions(before: Mapping[str, Shape], after: Iterable[Shape]) -> Iterator[Shape]:
    for version in after:
        name, old = f"version {version['number']}", before.get(version["id"])
        if old is None:
            said = f"{name.capitalize()} was registered ({version['origin']}, {version['digest'][:19]})."
            yield _change("version-registered", name, None, version["digest"], version["position"], said)
            continue
        known = {item["digest"] for item in old["evidence"]}
        for item in version["evidence"]:
            if item["digest"] not in known:
                said = f"{item['source'].capitalize()} evidence on {item['kind'].replace('_', ' ')} came to {name}."
                yield _change("evidence-attached", name, None, item["digest"], item["position"], said)
        yield from _of_edges(name, old["edges"], version["edges"])
        yield from _of_statements(name, old, version)
        yield from _of_recalls(name, _by(old["quarantines"], "id"), version["quarantines"])
        if version["purged_at"] and not old["purged_at"]:
            said = f"The bytes of {name} were purged."
            yield _change("version-purged", name, None, "purged", version["position"], said)


def _of_statements(name: str, before: Shape, after: Shape) -> Iterator[Shape]:
    for column, words in (("licence", "licence"), ("training_data", "knowledge of the training data")):
        old, new = before[column], after[column]
        if old != new:
            said = f"The {words} of {name} was stated as {old or 'unknown'}, then as {new or 'unknown'}."
            yield _change("version-corrected", name, old, new, after["corrected_at_position"], said)


def _of_recalls(name: str, before: Mapping[str, Shape], after: Iterable[Shape]) -> Iterator[Shape]:
    for stop in after:
        old = before.get(stop["id"])
        if old is None:
            yield _change("version-stopped", name, None, stop["recall"], stop["position"], f"A recall stopped {name}.")
        if stop["ended_at"] and not (old and old["ended_at"]):
            said = f"{name.capitalize()} was free again of a recall that had stopped it."
            yield _change("version-free-again", name, stop["recall"], None, stop["position"], said)


def _of_edges(name: str, before: Iterable[Shape], after: Iterable[Shape]) -> Iterator[Shape]:
    grades = {(edge["role"], edge["digest"]): edge["grade"] for edge in before}
    for edge in after:
        old = grades.get((edge["role"], edge["digest"]))
        if old != edge["grade"]:
            parent = edge["name"] or edge["digest"][:19]
            said = f"That {name} came from {parent} was {old or 'not recorded'}, then {edge['grade']}."
            yield _change("lineage-changed", name, old, edge["grade"], edge["position"], said)


# --- what was served ---


def _of_aliases(before: Mapping[str, Shape], after: Iterable[Shape]) -> Iterator[Shape]:
    for alias in after:
        old = before.get(alias["id"])
        count = len(alias["moves"]) - (len(old["moves"]) if old else 0)
        if not count:
            continue
        move, name = alias["moves"][0], alias["alias"]
        was, now = _served(old["serves"] if old else None), _served(alias["serves"])
        said = f"Alias {name} served {was}, then {now}: {move['kind'].replace('-', ' ')} by {who(move['by'])}"
        said += f", the last of {count} moves." if count > 1 else "."
        yield _change("alias-moved", name, was, now, move["position"], said)


def _served(serves: Shape | None) -> str:
    return f"version {serves['version']}" if serves else _NOTHING


# --- what was allowed ---


def _of_policies(before: Mapping[str, Shape], after: Mapping[str, Shape]) -> Iterator[Shape]:
    for key, policy in after.items():
        if key not in before:
            said = f"Policy {policy['policy']} came into force, approved by {who(policy['approved_by'])}."
            yield _change("policy-in-force", policy["policy"], None, policy["digest"], policy["position"], said)
    for key, policy in before.items():
        if key not in after:
            said = f"Policy {policy['policy']} went out of force."
            yield _change("policy-out-of-force", policy["policy"], policy["digest"], None, None, said)


def _of_approvals(before: Mapping[str, Shape], after: Iterable[Shape]) -> Iterator[Shape]:
    for approval in reversed(list(after)):
        old = before.get(approval["id"])
        name = f"approval of version {approval['version']} for {approval['alias']}"
        if old is None:
            said = f"The {name} was requested by {who(approval['requested_by'])}."
            yield _change("approval-requested", name, None, "requested", approval["position"], said)
        known = {decision["position"] for decision in old["decisions"]} if old else set()
        new = [decision for decision in approval["decisions"] if decision["position"] not in known]
        for decision in new:
            said = f"The {name} was {decision['kind']} by {who(decision['by'])}."
            yield _change("approval-decided", name, None, decision["kind"], decision["position"], said)
        yield from _of_status(name, old["status"] if old else "requested", approval, {d["kind"] for d in new})


def _of_status(name: str, was: str, approval: Shape, decided: set[str]) -> Iterator[Shape]:
    """What an approval is worth, where its decisions alone do not say it."""
    word = approval["status"]
    if word == was or word in decided:
        return
    said = " ".join([f"The {name} was {was}, then {word}.", *approval["status_reasons"]])
    yield _change("approval-status", name, was, word, None, said)


def _of_waivers(before: Mapping[str, Shape], after: Iterable[Shape]) -> Iterator[Shape]:
    for waiver in reversed(list(after)):
        old = before.get(waiver["id"])
        name = f"waiver of {waiver['rule']} for version {waiver['version']}"
        if old is None:
            said = f"The {name} was signed by {who(waiver['signed_by'])}, until {waiver['expires_at'][:10]}."
            yield _change("waiver-signed", name, None, "in-force", waiver["position"], said)
        was, now = old["state"] if old else "in-force", waiver["state"]
        if was != now:
            position = waiver["position"] if now == "ended" else None
            yield _change("waiver-state", name, was, now, position, f"The {name} was {was}, then {now}.")
