"""A dataset version as Croissant 1.1 (MLCommons, 2026-01-29) with the vocabulary for responsible AI 1.0, as JSON-LD. Pure.

Rules:
- what is not known is left out, but for the answers about people and works of others: unknown is said;
- a file is named by its digest (`ni:` of RFC 6920), for its bytes are only for those who may download; SHA-256 stands beside it;
- fields are the columns that were counted in the file; types are given only where the file states them;
- of several files each has its own set of records where all have the same columns; of more than 100 files none is described so;
- what was corrected is said as it is stated now;
- names that come from data are values; as part of an id they are percent-encoded.
"""

from __future__ import annotations

import base64
import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

CONFORMS_TO = "http://mlcommons.org/croissant/1.1"
RAI_CONFORMS_TO = "http://mlcommons.org/croissant/RAI/1.0"
MEDIA_TYPE = f'application/ld+json; profile="{CONFORMS_TO}"'
_NAMESPACES = {
    "@language": "en",
    "@vocab": "http://schema.org/",
    "sc": "http://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "prov": "http://www.w3.org/ns/prov#",
    "wd": "http://www.wikidata.org/entity/",
    "pressmark": "urn:pressmark:",
}
_TERMS = (
    "annotation", "arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "excludes", "extract", "field",
    "fileObject", "fileProperty", "fileSet", "format", "includes", "isArray", "isLiveDataset", "jsonPath", "key", "md5",
    "parentField", "readLines", "recordSet", "references", "regex", "sdVersion", "separator", "source", "subField", "transform",
    "unArchive", "value",
)  # fmt: skip
_CONTEXT: dict[str, Any] = {
    **_NAMESPACES,
    **{term: f"cr:{term}" for term in _TERMS},
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
}
_FORMATS = {
    "csv": "text/csv",
    "jsonl": "application/jsonlines",
    "npy": "https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html",  # no media type is registered
    "npz": "application/zip",
}
_TYPES = {
    "b": "sc:Boolean",
    "i": "sc:Integer",
    "u": "sc:Integer",
    "f": "sc:Float",
    "U": "sc:Text",
    "S": "sc:Text",
    "M": "sc:Date",
}
_DTYPE = re.compile(r"[<>|=]?([a-zA-Z?])")
_SPDX_ID = re.compile(r"(?!LicenseRef-)[A-Za-z0-9.+-]+")
_CARDINALITY = "wd:Q4049983"
_DESCRIBED_MAX = 100


@dataclass(frozen=True)
class Described:
    """What the registry knows about one version.

    `facts` is its `pressmark/dataset/1` with what is stated now, `texts` what people wrote by purpose, `counted` the format and the
    number of rows of each uploaded file by path.
    """

    name: str
    title: str
    number: int
    url: str
    team: str
    registered_at: datetime.datetime
    facts: Mapping[str, Any]
    texts: Mapping[str, str]
    terms: Mapping[str, Any]
    document_digest: str
    purged: bool = False
    counted: Mapping[str, tuple[str, int]] = field(default_factory=dict)


def croissant(version: Described) -> dict[str, Any]:
    """The JSON-LD document of a version."""
    facts, texts = version.facts, version.texts
    owner = texts.get("owner") or version.team
    document = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": [CONFORMS_TO, RAI_CONFORMS_TO],
        "name": version.name,
        "description": version.title or texts.get("origin", ""),
        "url": version.url,
        "version": f"{version.number}.0.0",
        "citeAs": f"{version.name}@{version.number}" + (f", {facts['digest']}" if facts["digest"] else ""),
        "isLiveDataset": False,
        "license": _license(facts["licence"]),
        "creator": {"@type": "Organization", "name": owner},
        "datePublished": version.registered_at.date().isoformat(),
        "distribution": _distribution(version),
        "recordSet": _record_sets(version),
        "usageInfo": _usage(version.terms),
        **_responsible(facts, texts),
        **_provenance(facts, texts, owner),
        **_own(version),
    }
    return {name: value for name, value in document.items() if value not in (None, "", [])}


def _license(expression: str) -> Any:
    """The address on the SPDX list for one licence of it; else the expression as it stands."""
    if _SPDX_ID.fullmatch(expression):
        return f"https://spdx.org/licenses/{expression}"
    return {"@type": "CreativeWork", "name": expression}


def _distribution(version: Described) -> list[dict[str, Any]]:
    facts = version.facts
    if facts["files"]:
        formats = {path: format_ for path, (format_, _) in version.counted.items()}
        return [
            _file(f["path"], f["path"], f["digest"], f["size_bytes"], formats.get(f["path"]), version)
            for f in facts["files"]
        ]
    suffix = f".{facts['format']}" if facts["format"] else ""
    name = f"{version.name.rpartition('/')[2]}-{version.number}{suffix}"
    return [_file("data", name, facts["digest"], facts["size_bytes"], facts["format"], version)]


def _file(
    key: str, name: str, digest: str | None, size_bytes: int | None, format_: str | None, version: Described
) -> dict[str, Any]:
    said = "These bytes were purged; digest and facts stay." if version.purged else None
    said = "Nobody knows the exact state of these data." if digest is None else said
    row = {
        "@type": "cr:FileObject",
        "@id": quote(key, safe="/"),
        "name": name,
        "description": said,
        "contentUrl": version.url if digest is None else _named(digest),
        "contentSize": None if size_bytes is None else f"{size_bytes} B",
        "encodingFormat": _FORMATS.get(format_ or "", "application/octet-stream"),
        "sha256": None if digest is None else digest.partition(":")[2],
    }
    return {name: value for name, value in row.items() if value is not None}


def _named(digest: str) -> str:
    """The name of bytes by their hash, RFC 6920."""
    raw = bytes.fromhex(digest.partition(":")[2])
    return f"ni:///sha-256;{base64.urlsafe_b64encode(raw).decode().rstrip('=')}"


def _record_sets(version: Described) -> list[dict[str, Any]]:
    facts = version.facts
    if not facts["columns"]:
        return []
    if not facts["files"]:
        return [_records("rows", "data", facts, facts["row_count"])]
    if len(facts["files"]) > _DESCRIBED_MAX:
        return []
    return [
        _records(f"rows-{number}", quote(path, safe="/"), facts, version.counted[path][1])
        for number, path in enumerate(sorted(version.counted), 1)
    ]


def _records(key: str, file: str, facts: Mapping[str, Any], rows: int) -> dict[str, Any]:
    fields = [_field(key, file, number, column, facts["format"]) for number, column in enumerate(facts["columns"], 1)]
    counted = "rows-counted" if key == "rows" else f"{key}-counted"
    count = {"@type": "cr:Field", "@id": counted, "value": rows, "dataType": _CARDINALITY}
    return {"@type": "cr:RecordSet", "@id": key, "name": key, "field": fields, "annotation": count}


def _field(key: str, file: str, number: int, column: Mapping[str, str], format_: str) -> dict[str, Any]:
    name = column["name"]
    row: dict[str, Any] = {
        "@type": "cr:Field",
        "@id": f"{key}/{number}-{quote(name, safe='')}",
        "name": name or "array",
        "source": {"fileObject": {"@id": file}, "extract": _extract(name, format_)},
    }
    kind = _DTYPE.match(column["dtype"])
    if kind is not None and kind[1] in _TYPES:
        row["dataType"] = _TYPES[kind[1]]
    shape = column["shape"].strip("[]")
    if shape:
        row |= {"isArray": True, "arrayShape": shape.replace(" ", "")}
    return row


def _extract(name: str, format_: str) -> dict[str, str]:
    return {"column": name} if format_ in ("csv", "jsonl") else {"fileProperty": "content"}


def _usage(terms: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the licence lets one do, term by term, in our own words."""
    return [
        {"@type": "DefinedTerm", "termCode": f"{name}:{term['answer']}", "name": name, "description": term["sentence"]}
        for name, term in sorted(terms.get("answers", {}).items())
    ]


def _responsible(facts: Mapping[str, Any], texts: Mapping[str, str]) -> dict[str, Any]:
    return {
        "rai:dataCollection": texts.get("collection"),
        "rai:dataCollectionRawData": texts.get("origin"),
        "rai:dataCollectionTimeframe": _timeframe(facts),
        "rai:dataBiases": texts.get("known_biases"),
        "rai:dataUseCases": ", ".join(facts["uses"]),
        "rai:personalSensitiveInformation": f"Personal data: {facts['personal_data']}. Consent: {facts['consent']}.",
    }


def _timeframe(facts: Mapping[str, Any]) -> str | None:
    """An ISO 8601 interval, its open end as `..`; None where nobody said."""
    begin, end = facts["collected_from"], facts["collected_until"]
    return f"{begin or '..'}/{end or '..'}" if begin or end else None


def _provenance(facts: Mapping[str, Any], texts: Mapping[str, str], owner: str) -> dict[str, Any]:
    days = {"prov:startedAtTime": facts["collected_from"], "prov:endedAtTime": facts["collected_until"]}
    activity = {
        "@type": "prov:Activity",
        "prov:label": texts.get("collection") or "Collection",
        **{member: day for member, day in days.items() if day},
    }
    known = texts.get("collection") or len(activity) > 2
    return {
        "prov:wasDerivedFrom": {"@type": "prov:Entity", "prov:label": texts.get("origin", "")},
        "prov:wasGeneratedBy": activity if known else None,
        "prov:wasAttributedTo": {"@type": "prov:Agent", "prov:label": owner},
    }


def _own(version: Described) -> dict[str, Any]:
    """What Croissant has no term for, under a name of our own."""
    facts = version.facts
    return {
        "pressmark:source": facts["source"],
        "pressmark:digest": facts["digest"],
        "pressmark:documentDigest": version.document_digest,
        "pressmark:thirdPartyWorks": facts["third_party_works"],
        "pressmark:thirdPartyBasis": version.texts.get("third_party_basis"),
        "pressmark:optOutHonoured": facts["opt_out_honoured"],
        "pressmark:retainUntil": facts["retain_until"],
        "pressmark:purged": True if version.purged else None,
    }
