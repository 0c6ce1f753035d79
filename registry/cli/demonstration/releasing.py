"""Acts 5 and 6: gate, waivers, approval in the admin site, promotion; baseline, windows, incident, rollback."""

from __future__ import annotations

import datetime
import json
import sys
from pathlib import Path
from typing import Any

from registry.cli.demonstration.making import MODEL
from registry.cli.demonstration.narrator import Narrator
from registry.cli.demonstration.people import ADMINISTRATOR, TEAM, People
from registry.cli.demonstration.stage import Browser, DemoFailed, Stage
from registry.client import ApiError

ALIAS = "production"
MONITOR = "production-drift"
POLICY = "limited"
_WAIVED = {
    "training-data": "The publisher names the collections, not their states. Search over our own articles; legal agrees.",
    "data-known": "The terms of the training mix are not stated. Accepted for internal search until a documented successor exists.",
    "modification": "The terms of the training mix are not stated. The model card allows changing the model under Apache-2.0.",
    "commercial-use": "The terms of the training mix are not stated. Legal accepts the model card's Apache-2.0 for this use.",
}


def policy_in_force(people: People, tell: Narrator) -> None:
    """The ready-made policy of the tier: written in by Carla, put in force by somebody else."""
    ready = {item["slug"]: item["document"] for item in people["carla"].get("policies/ready-made")["items"]}
    authored = people["carla"].post("policies", {"slug": POLICY, "document": ready[POLICY]})
    slug, _, number = authored["policy"].partition("@")
    people[ADMINISTRATOR].post(f"policies/{slug}/{number}/approve")
    tell.say(f"policy {authored['policy']} is in force: authored by Carla, approved by the administrator")


def release(stage: Stage, people: People, version: dict[str, Any], why: str, tell: Narrator) -> dict[str, Any]:
    """Gate, waivers where a rule may be waived, request by Ada, grant by Omar in the admin site, promotion."""
    path = f"teams/{TEAM}/models/{MODEL}/versions/{version['number']}"
    verdict = people["ada"].post(f"{path}/verdicts", {"alias": ALIAS})
    blocked = [r for r in verdict["document"]["results"] if r["answer"] == "blocked"]
    tell.say(f"gate on {version['ref']}: {verdict['outcome']}" + "".join(f"; {r['rule']}" for r in blocked))
    _show_refusals(people, path, blocked, tell)
    for rule in blocked:
        _waive(people, path, rule["rule"], tell)
    approval = people["ada"].post(f"{path}/approvals", {"alias": ALIAS, "reason": why})
    _self_approval_is_refused(people, approval, tell)
    _grant_in_the_admin_site(stage, people, approval["id"])
    granted: dict[str, Any] = people["omar"].get(f"approvals/{approval['id']}")
    if granted["status"] != "granted":
        raise DemoFailed(f"the approval is {granted['status']}, not granted: {granted['status_reasons']}")
    people["ada"].post(f"teams/{TEAM}/models/{MODEL}/aliases/{ALIAS}/promote", {"approval": approval["id"]})
    tell.say(f"granted by Omar in the admin site; {ALIAS} serves {version['ref']}")
    return granted


def _show_refusals(people: People, path: str, blocked: list[dict[str, Any]], tell: Narrator) -> None:
    if not blocked:
        return
    try:
        people["ada"].post(f"{path}/approvals", {"alias": ALIAS, "reason": "Without the waivers."})
    except ApiError as error:
        tell.say(f"an approval cannot even be asked for: {error.detail}")
    else:
        raise DemoFailed("an approval could be requested although the gate blocks")


def _waive(people: People, path: str, rule: str, tell: Narrator) -> None:
    if rule not in _WAIVED:
        raise DemoFailed(f"the gate blocks on {rule}, which the demo does not expect")
    expires = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=60)
    body = {"rule": rule, "reason": _WAIVED[rule], "expires_at": expires.isoformat()}
    people["carla"].post(f"{path}/waivers", body)
    tell.say(f"Carla signs a waiver of '{rule}' until {expires:%Y-%m-%d}")


def _self_approval_is_refused(people: People, approval: dict[str, Any], tell: Narrator) -> None:
    try:
        people["ada"].post(f"approvals/{approval['id']}/grant", {"reason": "I made it, it is fine."})
    except ApiError as error:
        tell.say(f"Ada tries to approve her own version: refused ({error.status})")
    else:
        raise DemoFailed("an engineer could approve her own version")


def _grant_in_the_admin_site(stage: Stage, people: People, approval: str) -> None:
    browser = Browser(stage.server)
    browser.submit("/login/?next=/admin/", {"username": "omar", "password": people.passwords["omar"]})
    page = f"/admin/registry/approval/{approval}"
    reason = {"reason": "Figures and limits looked at; fit for the stated purpose."}
    browser.submit(f"{page}/decide/", reason, to=f"{page}/grant/")


def watch(
    stage: Stage, people: People, parent: dict[str, Any], child: dict[str, Any], tell: Narrator
) -> dict[str, Any]:
    """Act 6: the operator pushes a healthy and a drifted window; the incident ends with the parent serving again."""
    monitor = f"teams/{TEAM}/models/{MODEL}/monitors"
    people["otto"].post(monitor, {"alias": ALIAS, "slug": MONITOR})
    baseline = people["otto"].get(f"{monitor}/{MONITOR}/baseline")
    bins = stage.folder / "bins.json"
    bins.write_text(json.dumps(baseline["document"]))
    tell.say(f"baseline {baseline['digest'][:19]} was frozen when the approval was granted")
    files = _pull(people, stage, parent, "parent"), _pull(people, stage, child, "child")
    healthy = _push(stage, people, files, child, "healthy", bins)
    tell.say(f"healthy window, {healthy['rows']} rows: {healthy['state']}")
    drifted = _push(stage, people, files, child, "drifted", bins)
    tell.say(f"drifted window, {drifted['rows']} rows: {drifted['state']}: {drifted['judgement']['summary']}")
    if (healthy["state"], drifted["state"]) != ("healthy", "drifted"):
        raise DemoFailed("the monitor did not tell the two windows apart")
    people["otto"].post(f"incidents/{drifted['incident']}/acknowledge")
    ended: dict[str, Any] = people["omar"].post(
        f"incidents/{drifted['incident']}/resolve-by-rollback",
        {
            "reason": "The search box now gets source code. Back to the parent until the child is evaluated on such text."
        },
    )
    now = people["otto"].get(f"teams/{TEAM}/models/{MODEL}/resolve/{ALIAS}")
    if now["digest"] != parent["digest"]:
        raise DemoFailed(f"{ALIAS} serves {now['digest']} after the rollback, not the parent")
    tell.say(
        f"incident {ended['status']}: bytes hashed again, approval and policy checked; {ALIAS} serves {parent['ref']}"
    )
    return ended


def _pull(people: People, stage: Stage, version: dict[str, Any], name: str) -> Path:
    """What the operator serves: the files of the version, each checked against its digest."""
    folder = stage.folder / "served" / name
    folder.mkdir(parents=True, exist_ok=True)
    path = f"teams/{TEAM}/models/{MODEL}/versions/{version['number']}"
    for file in people["otto"].get(path)["files"]:
        people["otto"].download(f"{path}/files/{file['path']}", folder / file["path"], file["digest"])
    return folder


def _push(
    stage: Stage, people: People, files: tuple[Path, Path], child: dict[str, Any], name: str, bins: Path
) -> dict[str, Any]:
    """Count one stretch of traffic into the frozen bins beside the served model, and send the counts."""
    counted = stage.folder / f"window-{name}.json"
    counted.unlink(missing_ok=True)
    parent, served = files
    traffic = stage.input / "sentences" / f"{name}.jsonl"
    stage.run(
        [sys.executable, "-m", "compression_engine", "observe", str(served), "--parent", str(parent),
         "--data", str(traffic), "--bins", str(bins), "--output", str(counted)]
    )  # fmt: skip
    ended = datetime.datetime.now(datetime.UTC)
    window: dict[str, Any] = people["otto"].post(
        f"teams/{TEAM}/models/{MODEL}/monitors/{MONITOR}/windows",
        {
            "label": name, "started_at": (ended - datetime.timedelta(hours=1)).isoformat(),
            "ended_at": ended.isoformat(), "version_digest": child["digest"],
            "distribution": json.loads(counted.read_text()),
        },
    )  # fmt: skip
    return window
