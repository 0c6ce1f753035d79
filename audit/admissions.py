"""Signs whether a version may run: a short-lived in-toto statement that a host can check without reaching us.

Rules:
- the answer is signed by the issuer key in force, also when it is no, and also about what is not known or may not be seen: then
  without a single name, so that nobody learns what there is;
- its subjects are the version by the digest of its manifest and every file of it; without a version, what was asked about;
- it says for what was asked (alias, target, served), and is good for nothing else;
- it ends after `PRESSMARK_ADMISSION_SECONDS`, and earlier where what it rests on ends earlier;
- it names the number of entries that the ledger had before it was decided, and the checkpoint then: who holds a later one knows
  that the decision did not see what came between;
- asking is operational: nothing is written.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.utils import timezone

from audit import checkpoints, dsse, keys
from audit.exports.shapes import ADMISSION, STATEMENT_TYPE
from audit.exports.statements import to_bytes
from audit.models import Checkpoint
from audit.signing import ISSUER_SUFFIX, Signer
from registry.catalog.models import ModelVersion
from registry.digests import hex_of, time_text
from registry.events import Caller
from registry.release.admission import YES, Answer, Asked, decide, no
from registry.release.admission_facts import File, facts_of, versions_asked_about


@dataclass(frozen=True)
class Question:
    """What somebody wants to run: by digest, by its files, or both; of which model; for what. `nonce` comes back signed."""

    digest: str | None
    files: Sequence[File]
    model: str | None
    asked: Asked
    nonce: str | None = None


def answer_admission(caller: Caller, question: Question) -> bytes:
    """The signed verdict, as a DSSE envelope."""
    signer = keys.issuer_signer()
    ledger = _ledger(signer)  # before anything is decided: what was sealed up to there was seen
    at = timezone.now()
    found = versions_asked_about(caller, digest=question.digest, files=question.files, model=question.model)
    version = found[0] if len(found) == 1 else None
    asked = question.asked
    if version is not None:
        facts, asked = facts_of(version, asked, at)
        answer = decide(facts, asked)
    elif found:
        answer = no("ambiguous", "Several versions hold exactly these bytes; name the model that is meant.")
    else:
        answer = decide(None, asked)
    predicate = {
        **_answered(answer, version),
        **_times(answer, at),
        "asked": _asked(question, asked),
        "ledger": ledger,
    }
    return _sign(signer, _subjects(version) if version is not None else _as_asked(question), predicate)


def _sign(signer: Signer, subjects: list[dict[str, Any]], predicate: dict[str, Any]) -> bytes:
    statement = {"_type": STATEMENT_TYPE, "predicate": predicate, "predicateType": ADMISSION, "subject": subjects}
    return dsse.sign_envelope(signer, to_bytes(statement))


def _answered(answer: Answer, version: ModelVersion | None) -> dict[str, Any]:
    return {
        "bound": {
            "approval": answer.approval,
            "assignment": answer.assignment,
            "broken_glass": answer.broken_glass,
            "model": None if version is None else str(version.model_id),
            "policy": answer.policy_digest,
            "version": None if version is None else str(version.pk),
        },
        "alias": answer.alias,
        "decision": answer.decision,
        "model": None if version is None else str(version.model),
        "reasons": [{"code": reason.code, "text": reason.text} for reason in answer.reasons],
        "standing": answer.standing,
    }


def _times(answer: Answer, at: datetime.datetime) -> dict[str, str]:
    end = at + datetime.timedelta(seconds=settings.PRESSMARK_ADMISSION_SECONDS)
    if answer.decision == YES and answer.until is not None:
        end = min(end, answer.until)
    return {"evaluated_at": time_text(at), "expires_at": time_text(end)}


def _asked(question: Question, asked: Asked) -> dict[str, Any]:
    """As it was asked; but the target by its full name, where it is known."""
    return {
        "alias": asked.alias,
        "model": question.model,
        "nonce": question.nonce,
        "served": asked.served,
        "target": question.asked.target,
        "target_meant": asked.target if asked.target != question.asked.target else None,
    }


def _subject(name: str, digest: str) -> dict[str, Any]:
    return {"digest": {"sha256": hex_of(digest)}, "name": name}


def _subjects(version: ModelVersion) -> list[dict[str, Any]]:
    files = version.artifacts.order_by("path").values_list("path", "digest")
    return [_subject(str(version), version.digest), *(_subject(f"{version}/{path}", digest) for path, digest in files)]


def _as_asked(question: Question) -> list[dict[str, Any]]:
    whole = [] if question.digest is None else [_subject("asked", question.digest)]
    return [*whole, *(_subject(f"asked/{file.path or 'file'}", file.digest) for file in question.files)]


def _ledger(signer: Signer) -> dict[str, Any]:
    size = checkpoints.ledger_size()
    newest = Checkpoint.objects.order_by("-size").first()
    signed = None if newest is None else {"root": "sha256:" + bytes(newest.root).hex(), "size": newest.size}
    return {"checkpoint": signed, "origin": signer.name.removesuffix(ISSUER_SUFFIX), "size": size}
