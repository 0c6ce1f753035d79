"""Who can mend what a rule of a policy misses: for each check the acts that may let it pass, and the roles that may do them.

Rules:
- roles are read from the permission table, never written down twice; what only persons may do is offered to no service account;
- it is said in which team the role is held: that of the model, of the data, or the whole instance;
- beside the role it is said who may not do it though he has it;
- a rule that may be waived has that way too; one that stands in every policy unwritten has none.
A figure that misses its limit, or terms that forbid, may have no other way than another version: that is said too.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from registry.access.models import Role
from registry.access.permissions import PERMISSIONS, PERSONS_ONLY
from registry.release.evidence_choice import TARGET
from registry.release.policy_language import Rule

OF_TEAM = "of the team"
_OF_DATA = "of the team that keeps the data"
_EVERYWHERE = "for the whole instance"
_OF_ANY = "of any team"
_NOT_OWN = "not who brought or made the version or the same weights"


@dataclass(frozen=True)
class Mend:
    """One act that can let a rule pass. `action`: the line of the permission table. `but`: whom it is not open to."""

    act: str
    action: str
    but: str = ""
    where: str = OF_TEAM

    @property
    def roles(self) -> tuple[str, ...]:
        return roles_for(self.action)

    @property
    def who(self) -> str:
        """'engineer or operator of the team', and whom it is not open to."""
        return f"{either(self.roles)} {self.where}{'; ' + self.but if self.but else ''}"


def roles_for(action: str, kept_for: Collection[Role] | None = None) -> tuple[str, ...]:
    """The words of the roles that may do an act, by name; `kept_for`: those that rules of an alias leave."""
    roles = PERMISSIONS[action] if kept_for is None else PERMISSIONS[action] & frozenset(kept_for)
    machines = {Role.SERVICE_ACCOUNT} if action in PERSONS_ONLY else set()
    return tuple(sorted(role.label.lower() for role in roles - machines))


def either(words: Collection[str]) -> str:
    """'a, b or c'; 'nobody' for none."""
    *first, last = words or ["nobody"]
    return f"{', '.join(first)} or {last}" if first else last


def mends_of(rule: Rule) -> list[Mend]:
    """The acts that can let a rule pass which blocks now, the nearest first."""
    if rule.check in ("evidence_present", "figure"):
        found = _evidence(str(rule.parameters["kind"]), rule.check == "figure", rule.parameters.get("source"))
    else:
        found = [*_MENDS[rule.check]]
    if rule.parameters.get("of") == "each_dataset":
        found = [replace(mend, where=_OF_DATA) for mend in found]
    if rule.check == "data_quality" and rule.parameters.get("use") == "evaluation":
        found.append(_NAME_THE_ROWS)
    elif rule.check == "data_quality" or rule.parameters.get("of") == "each_dataset":
        found.append(_NAME_THE_DATA)
    return [*found, _WAIVER] if rule.waivable else found


def _evidence(kind: str, limit: bool, source: str | None) -> list[Mend]:
    if kind == TARGET:
        return list(_MENDS["target_evidence"])
    found = [Mend(f"have '{kind}' measured for exactly this version: request an evaluation", "run.request")]
    if source == "any":
        found.append(Mend(f"attach a declared '{kind}'", "evidence.attach"))
    if limit:
        found.append(
            Mend("where it was measured and misses the limit: make another version that keeps it", "run.request")
        )
    return found


_CORRECT = "where its record is wrong: correct what is stated about the version"
_RULING = Mend("say what the licence allows, in a ruling that somebody else approves", "ruling.author", where=_OF_ANY)
_NAME_THE_ROWS = Mend("where no such data is known: request an evaluation on registered rows", "run.request")
_NAME_THE_DATA = Mend(
    "where the lineage names no such data: make, or register in another model, a version that names what it was made with",
    "version.register",
)
_WAIVER = Mend(
    "sign a waiver: an exception with a reason and an end", "waiver.sign", f"{_NOT_OWN}, or asks for its approval"
)
_MENDS: dict[str, tuple[Mend, ...]] = {
    "target_evidence": (
        Mend("measure it on the host that serves it, with `pressmark measure`", "target_measurement.record"),
    ),
    "terms": (_RULING, Mend(_CORRECT, "version.correct")),
    "training_data": (Mend("say what it was trained on: correct what is stated about the version", "version.correct"),),
    "lineage_grade": (
        Mend(
            "make the version again by a recorded run, or have its run replayed for the grade 're-derived'",
            "run.request",
        ),
    ),
    "dataset_known": (
        Mend("say where the data comes from and under which licence", "dataset_version.correct", where=_OF_DATA),
        _RULING,
    ),
    "use_case": (
        Mend("answer the tier table for its use case", "use_case.register"),
        Mend("assign the use case that the model serves, where this is another", "model.register"),
    ),
    "structure_checked": (Mend("register another version with files whose structure can be read", "version.register"),),
    "parent_rollback_target": (
        Mend("ask for an approval of a version that it was made from", "approval.request"),
        Mend("grant that approval", "approval.decide", "not who asked for it, brought or made that version"),
    ),
    "open_findings": (
        Mend("mend what the finding names", "finding.work"),
        Mend("close the finding", "finding.close", "not whose own act opened it; a broken glass needs a review before"),
    ),
    "document_attached": (Mend("attach the document", "document.attach"),),
    "review_in_force": (Mend("sign the review", "review.sign", "not who brought or made what is reviewed"),),
    "data_quality": (
        Mend("request a profile of the data", "dataset_version.profile", where=_OF_DATA),
        Mend(
            "where the rows miss the limit: register better rows, and make a version with them",
            "dataset_version.register",
            where=_OF_DATA,
        ),
    ),
    "contamination": (
        Mend("request profiles of the data, compared with each other", "dataset_version.profile", where=_OF_DATA),
        Mend("where rows were learned from: evaluate it with other rows", "run.request"),
    ),
    "not_recalled": (
        Mend("end the recall", "recall.end", where="of the team that keeps what was recalled"),
        Mend("ask that this version be let out of quarantine", "quarantine.request_release"),
        Mend("decide on that request", "quarantine.decide", "not who asked, brought or made it"),
    ),
}

NO_USE_CASE = (
    Mend("register a use case: what models are for", "use_case.register"),
    Mend("assign it to the model", "model.register"),
)
NO_POLICY = (
    Mend("author a policy, or take one that ships", "policy.author", where=_EVERYWHERE),
    Mend("put it in force", "policy.approve", "not its author", where=_EVERYWHERE),
)
