"""Facts about what is live: approvals, monitors, incidents, the way back. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from audit.facts.base import (
    FAILS,
    PARTIAL,
    PASSES,
    STALE,
    Fact,
    FactSpec,
    after_days,
    ago,
    count_of,
    days_between,
    inputs_of,
    joined,
    missing,
)
from audit.facts.case import Case, Live
from audit.sealed_approvals import act_of, request_of
from audit.snapshots import Record
from registry.release import status as rules


def approval_bound(case: Case, parameters: Mapping[str, Any]) -> Fact:
    """Each live version has a granted approval that names exactly its digest and was not revoked."""
    if not case.live:
        return missing("Nothing is live, so nothing had to be approved.")
    used: list[Record | None] = []
    ends: list[str] = []
    for live in case.live:
        problem = _approval_problem(case, live)
        used += [live.assignment, live.approval, *(case.decisions(live.approval) if live.approval else [])]
        if problem:
            sentence = f"Alias {live.alias.row['slug']} serves {case.title(live.version)}, {problem}."
            return Fact(FAILS, sentence, "not approved", inputs_of(used))
        assert live.approval is not None
        ends.append(case.approval_ends(live.approval))
    expires = min(ends)
    if expires <= case.now:
        return Fact(
            STALE, f"The approval of what is live ended on {expires[:10]}.", "expired", inputs_of(used), expires
        )
    names = joined(f"{live.alias.row['slug']} → {case.title(live.version)}" for live in case.live)
    sentence = f"What is live was approved for exactly its digest: {names}."
    return Fact(PASSES, sentence, count_of(len(case.live), "approval"), inputs_of(used), expires)


def _approval_problem(case: Case, live: Live) -> str:
    if live.broken_glass is not None:
        ends = str(live.broken_glass.row["expires_at"])
        past = "and its time has passed" if ends <= case.now else f"until {ends[:16]}Z"
        return f"by a move that broke the glass, {past}"
    if live.approval is None:
        return "which has no approval"
    if live.approval.row["version_digest"] != live.version.row["digest"]:
        return "whose approval names another digest"
    decisions = case.decisions(live.approval)
    if any(d.row["kind"] == "revoked" for d in decisions):
        return "whose approval was revoked"
    request = request_of(live.approval.row)
    counted = rules.counted(request, [act_of(d.row) for d in decisions])
    officers = sum(act.role == rules.OFFICER for act in counted)
    if officers < request.officers:
        return f"approved by {officers} of {request.officers} compliance officers"
    if len(counted) < request.required:
        return f"approved by {len(counted)} of {request.required} people"
    return ""


def oversight_exercised(case: Case, parameters: Mapping[str, Any]) -> Fact:
    """People did use their right to decide, override or roll back within the period."""
    limit = int(parameters["max_age_days"])
    acts = list(case.snapshot.all("release.decision"))
    acts += [a for a in case.assignments if a.row["kind"] in ("rolled-back", "suspended")]
    if not acts:
        return missing("Nobody has decided on, rolled back or suspended anything yet.")
    newest = max(acts, key=lambda r: r.position)
    expires = after_days(newest.first_at, limit)
    outcome = STALE if expires <= case.now else PASSES
    age = days_between(newest.first_at, case.now)
    sentence = f"{count_of(len(acts), 'act')} of oversight, the newest {ago(age)}."
    return Fact(outcome, sentence, count_of(len(acts), "act"), inputs_of(acts), expires)


def monitored(case: Case, parameters: Mapping[str, Any]) -> Fact:
    """Each live alias is watched against the baseline of what it serves, by a recent window without an open incident."""
    limit = int(parameters["max_age_days"])
    if not case.live:
        return missing("Nothing is live, so nothing is watched.")
    facts = [_one_monitored(case, live, limit) for live in case.live]
    worst = min(facts, key=lambda f: (FAILS, "missing", PARTIAL, STALE, PASSES).index(f.outcome))
    if len(facts) == 1 or worst.outcome != PASSES:
        return worst
    inputs = tuple(i for f in facts for i in f.inputs)
    expires = min(f.expires_at for f in facts if f.expires_at is not None)
    return Fact(PASSES, f"All {len(facts)} aliases are watched.", f"{len(facts)} aliases", inputs, expires)


_WINDOW_SAID = {
    "drifted": "drifted",
    "digest-drift": "saw other bytes served than the alias names",
    "insufficient-data": "had too few rows to judge",
}


def _one_monitored(case: Case, live: Live, limit: int) -> Fact:
    alias = live.alias.row["slug"]
    monitors = [m for m in case.monitors if m.row["alias_id"] == live.alias.id]
    if not monitors:
        return missing(f"No monitor watches the alias {alias}.")
    windows = [w for m in monitors for w in case.windows(m)]
    open_ = [
        i for i in case.incidents if i.row["resolved_at"] is None and i.row["monitor_id"] in {m.id for m in monitors}
    ]
    if open_:
        sentence = f"An incident on alias {alias} is open since {open_[0].first_at[:10]}."
        return Fact(FAILS, sentence, "open incident", inputs_of([*monitors, *open_]))
    own = [w for w in windows if w.row["version_id"] == live.version.id]
    if not own:
        sentence = f"Alias {alias} has a monitor, but no window of what it serves now has come in."
        return Fact(PARTIAL, sentence, "no window", inputs_of([*monitors, *windows[-1:]]))
    newest = max(own, key=lambda w: str(w.row["ended_at"]))
    expires = after_days(str(newest.row["ended_at"]), limit)
    inputs = inputs_of([*monitors, newest])
    state = str(newest.row["state"])
    if state != "healthy":
        outcome = FAILS if state in ("drifted", "digest-drift") else PARTIAL
        said = _WINDOW_SAID.get(state, "had no baseline")
        return Fact(outcome, f"The newest window of alias {alias} {said}.", state, inputs)
    if expires <= case.now:
        return Fact(
            STALE, f"The newest window of alias {alias} is over {limit} days old.", "old window", inputs, expires
        )
    sentence = f"Alias {alias} is watched; its newest window of {newest.row['row_count']} rows is healthy."
    return Fact(PASSES, sentence, "healthy", inputs, expires)


def plan_carried_out(case: Case, parameters: Mapping[str, Any]) -> Fact:
    """Monitor, incident handling and rollback of the plan have each run at least once."""
    if not case.monitors:
        return missing("There is no monitor, so no plan was carried out.")
    windows = [w for m in case.monitors for w in case.windows(m)]
    resolved = [i for i in case.incidents if i.row["resolved_at"] is not None]
    back = [a for a in case.assignments if a.row["kind"] == "rolled-back"]
    parts = {"windows": windows, "a resolved incident": resolved, "a rollback": back}
    ran = [name for name, records in parts.items() if records]
    value = f"{len(ran)} of {len(parts)} parts ran"
    inputs = inputs_of([*case.monitors, *windows[-3:], *resolved, *back])
    never = [name for name, records in parts.items() if not records]
    if not windows:
        return Fact(FAILS, "A monitor is set up, but no window ever came in.", value, inputs)
    if never:
        return Fact(PARTIAL, f"Of the plan ran: {joined(ran)}; never: {joined(never)}.", value, inputs)
    return Fact(PASSES, "Windows came in, an incident was resolved and a rollback was made.", value, inputs)


def incidents_answered(case: Case, parameters: Mapping[str, Any]) -> Fact:
    """Incidents are acknowledged, judged and resolved within the limit."""
    limit = int(parameters["limit_days"])
    if not case.incidents:
        return missing("No incident has happened, and none was rehearsed.")
    open_ = [i for i in case.incidents if i.row["resolved_at"] is None]
    late = [i for i in open_ if after_days(i.first_at, limit) <= case.now]
    if late:
        sentence = f"{count_of(len(late), 'incident')} open for more than {limit} days."
        return Fact(FAILS, sentence, "overdue", inputs_of(late))
    value = f"{len(case.incidents) - len(open_)} of {len(case.incidents)} resolved"
    if open_:
        return Fact(PARTIAL, f"{value}, the rest within the limit of {limit} days.", value, inputs_of(case.incidents))
    return Fact(PASSES, f"{value}, each with who and when.", value, inputs_of(case.incidents))


def way_back(case: Case, parameters: Mapping[str, Any]) -> Fact:
    """Another approved version can be gone back to, and the way back was walked, or gone through in a drill, within the period."""
    limit = int(parameters["max_age_days"])
    if not case.live:
        return missing("Nothing is live, so there is nothing to go back from.")
    moves = [a for live in case.live for a in case.history(live.alias)]
    back = [a for a in moves if a.row["kind"] == "rolled-back"]
    drills = [d for live in case.live for d in case.drills(live.alias)]
    for live in case.live:
        served = {a.row["version_id"] for a in case.history(live.alias) if a.row["version_id"]}
        if len(served) < 2:
            slug = live.alias.row["slug"]
            return missing(f"Alias {slug} has served one version only; there is no approved version to go back to.")
    if not back and not drills:
        sentence = "An approved version to go back to exists; the way back was never walked."
        return Fact(PARTIAL, sentence, "no drill", inputs_of(moves))
    newest = max([*back, *drills], key=lambda record: record.position)
    if newest.row.get("eligible") is False:
        sentence = f"The last drill found no version to go back to: {(newest.row['reasons'] or ['no reason'])[0]}"
        return Fact(FAILS, sentence, "drill failed", inputs_of([newest]))
    expires = after_days(newest.first_at, limit)
    age = days_between(newest.first_at, case.now)
    outcome = STALE if expires <= case.now else PASSES
    how = "was rolled back" if newest in back else "went through a drill of the roll-back"
    sentence = f"The alias {how} {ago(age)}; an approved version to go back to exists."
    return Fact(outcome, sentence, ago(age), inputs_of([newest]), expires)


def recalls_heeded(case: Case, parameters: Mapping[str, Any]) -> Fact:
    """Nothing that a recall stopped is live, and who was stopped by one went the way out before serving again."""
    if not case.versions:
        return missing("No version of the model is registered.")
    stopped = case.snapshot.all("release.quarantine")
    live = [(live, q) for live in case.live for q in case.open_quarantines(live.version)]
    if live:
        alias, version = live[0][0].alias.row["slug"], case.title(live[0][0].version)
        sentence = f"Alias {alias} serves {version}, which a recall has stopped."
        return Fact(FAILS, sentence, "recalled", inputs_of(q for _, q in live))
    if not stopped:
        return Fact(PASSES, "No recall has reached a version of this model.", "none", inputs_of([case.model]))
    over = [q for q in stopped if q.row["ended_at"] is not None]
    value = f"{len(over)} of {len(stopped)} ended"
    sentence = f"{count_of(len(stopped), 'version')} stopped by a recall, none of them live; {value}."
    return Fact(PASSES, sentence, value, inputs_of(stopped))


def monitor_power(case: Case, parameters: Mapping[str, Any]) -> Fact:
    """Windows that had enough rows to see a change of the size that the limits name."""
    windows = [w for m in case.monitors for w in case.windows(m)]
    if not windows:
        return missing("No window has come in.")
    weak = [w for w in windows if w.row["state"] in ("insufficient-data", "no-baseline")]
    value = f"{len(windows) - len(weak)} of {len(windows)} windows judged"
    if weak:
        return Fact(PARTIAL, f"{value}; the rest had too few rows or no baseline.", value, inputs_of(windows))
    return Fact(PASSES, f"{value} with enough rows.", value, inputs_of(windows))


FACTS = [
    FactSpec("approval_bound", "approval of exactly the live digest", approval_bound, {}),
    FactSpec("oversight_exercised", "people decided or overrode", oversight_exercised, {"max_age_days": 180}),
    FactSpec("monitored", "live aliases are watched", monitored, {"max_age_days": 30}),
    FactSpec("plan_carried_out", "the monitoring plan ran", plan_carried_out, {}),
    FactSpec("incidents_answered", "incidents are resolved", incidents_answered, {"limit_days": 14}),
    FactSpec("way_back", "rollback target and drill", way_back, {"max_age_days": 180}),
    FactSpec("recalls_heeded", "nothing recalled is live", recalls_heeded, {}),
    FactSpec("monitor_power", "windows with enough rows", monitor_power, {}),
]
