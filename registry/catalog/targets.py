"""What our own program measured on the host that serves a model, made evidence about a version. Pure: no Django.

Rules:
- the document is `pressmark/target_measurement/1`: canonical, of the shape of its schema, and its digests of host, serving settings
  and plan are those of what it says about them;
- every figure stands once, the low end of its interval below the high one, and by the plan that the measurement names: a gate and a
  page that looked at different ones would both be right;
- a figure is one that can be: no time, size, rate or energy below nothing, no share beyond the whole, files as large as they are;
- rows that could not be used are counted (`left_out_rows`, of `evaluated_rows`), and rows that no dataset here holds are said to be
  so (`unregistered_rows`): nobody here can tell whether the version was made with them;
- it is evidence of kind `target` and declared: the program is ours, the host and whoever pushed are not our worker. What is
  known of the host and of how the model is served stands in the environment (`host_...`, `serving_...`), and both digests;
- a newer measurement of the same version on another host, or under other settings, makes it stale.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import cache
from importlib import resources
from typing import Any

from jsonschema import Draft202012Validator

from registry.catalog.evidence import ALL_ROWS, LEFT_OUT, SEEN_ROWS, TARGET_KIND, UNREGISTERED, left_out
from registry.digests import CanonicalError, canonical, is_decimal, sha256
from registry.errors import Invalid

TYPE = "pressmark/target_measurement/1"
HOST_DIGEST, SETTINGS_DIGEST = "host_digest", "settings_digest"
_NOT_BELOW_NOTHING = ("byte", "joule", "millisecond", "per_second", "ratio", "share")
_NEVER_BELOW_EITHER = ("millisecond", "per_second")
"""Units whose intervals are made of what was timed, so that these do not reach below nothing either."""
_SIGNED = ("saved", "saving", "difference", "loss", "change", "drift")
"""What stands in the names of metrics that tell how far two figures are apart: these have both signs."""
Document = Mapping[str, Any]


@cache
def _schema() -> Draft202012Validator:
    text = (resources.files("compression_engine") / "schemas" / "target_measurement-1.json").read_text("utf-8")
    return Draft202012Validator(json.loads(text))


def check_document(document: Any) -> Document:
    """The document, or Invalid with the member that is wrong."""
    if not isinstance(document, Mapping) or document.get("type") != TYPE:
        raise _wrong(f"The body is no {TYPE}.")
    try:
        canonical(document)
    except CanonicalError as error:
        raise _wrong(f"The measurement breaks a rule: {error}.") from None
    flaw = next(iter(_schema().iter_errors(document)), None)
    if flaw is not None:
        raise _wrong(f"{flaw.json_path}: {flaw.message[:200]}.")
    for what in ("host", "settings", "plan"):
        said, found = document[f"{what}_digest"], document[what]
        if said != (None if found is None else sha256(canonical(found))):
            raise _wrong(f"The {what} in the measurement is not what its digest names.")
    _check_evidence(document["evidence"][0]["document"], document["plan_digest"])
    for figure in document["evidence"][0]["document"]["figures"]:
        _check_possible(figure, document["weights"]["size_bytes"])
    return document


def _check_evidence(evidence: Document, plan_digest: str | None) -> None:
    if next((row["value"] for row in evidence["environment"] if row["name"] == "plan"), None) != plan_digest:
        raise _wrong("The figures were measured by another plan than the one in the measurement.")
    seen: set[bytes] = set()
    for figure in evidence["figures"]:
        named = canonical({"metric": figure.get("metric"), "slice": figure.get("slice")})
        if named in seen:
            raise _wrong(f"The figure {str(figure.get('metric'))[:60]!r} stands twice.")
        seen.add(named)
        low, high = figure.get("low"), figure.get("high")
        if is_decimal(low) and is_decimal(high) and Decimal(str(low)) > Decimal(str(high)):
            raise _wrong(f"The interval of {str(figure.get('metric'))[:60]!r} ends before it begins.")


def _check_possible(figure: Document, size_bytes: int) -> None:
    """Invalid where no measurement can have found the figure."""
    metric, unit = str(figure.get("metric"))[:60], str(figure.get("unit"))
    value, low = figure.get("value"), figure.get("low")
    if metric == "size_bytes" and value not in (None, str(size_bytes)):
        raise _wrong(f"The size of the files is told as {str(value)[:60]} bytes; they have {size_bytes}.")
    if unit not in _NOT_BELOW_NOTHING or any(word in metric for word in _SIGNED):
        return
    ends = [value, low] if unit in _NEVER_BELOW_EITHER else [value]
    if any(is_decimal(end) and Decimal(str(end)) < 0 for end in ends):
        raise _wrong(f"The figure {metric!r} is below nothing, which no measurement finds.")
    if unit == "share" and is_decimal(value) and Decimal(str(value)) > 1:
        raise _wrong(f"The figure {metric!r} is a share of more than the whole.")


def evidence_document(
    document: Document, subjects: Sequence[tuple[str, str]], seen_rows: int, *, registered: bool
) -> dict[str, Any]:
    """The evidence about these (role, digest) subjects; `seen_rows` of the rows are rows that the version was made with.

    `registered`: whether a dataset version here holds the rows.
    """
    inner = document["evidence"][0]["document"]
    facts = [(row["name"], row["value"]) for row in inner["environment"]]
    facts += [(f"host_{row['name']}", row["value"]) for row in document["host"]]
    facts += [(f"serving_{row['name']}", row["value"]) for row in document["settings"]]
    facts += [(name, document[name]) for name in (HOST_DIGEST, SETTINGS_DIGEST)]
    if seen_rows:
        facts.append((SEEN_ROWS, str(seen_rows)))
    data = document["data"]
    if not registered:
        facts.append((UNREGISTERED, str(data["rows"])))
    if data["broken"]:
        facts += [(LEFT_OUT, str(left_out(data["broken"]))), (ALL_ROWS, str(data["rows"]))]
    return {
        **inner,
        "environment": [{"name": name, "value": value} for name, value in sorted(facts)],
        "kind": TARGET_KIND,
        "source": "declared",
        "subjects": sorted(({"digest": digest, "role": role} for role, digest in set(subjects)), key=canonical),
    }


def staleness(environments: Sequence[Mapping[str, str]]) -> list[str | None]:
    """For measurements of one version, newest first: why each is stale, or None while it stands."""
    found: list[str | None] = []
    for number, mine in enumerate(environments):
        others = environments[:number]
        if any(other.get(HOST_DIGEST) != mine.get(HOST_DIGEST) for other in others):
            found.append("It was measured on another host since.")
        elif any(other.get(SETTINGS_DIGEST) != mine.get(SETTINGS_DIGEST) for other in others):
            found.append("It was measured under other serving settings since.")
        else:
            found.append(None)
    return found


def _wrong(detail: str) -> Invalid:
    return Invalid(detail, hint="Send what `pressmark measure` wrote, unchanged.", code="target-measurement")
