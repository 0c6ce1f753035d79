"""What computing costs the user, as data: the prices from which costs and savings are computed. Standard library only.

Rules:
- a sheet is a canonical document that its user owns; its digest stands in every figure that rests on it;
- every member is there, but `idle_watts` and `watts_source`, which need `watts_per_core`; only that and these may be null; prices
  and watts are decimals as text and never below zero;
- the currency is carried through as it is: nothing is converted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from decimal import Decimal
from importlib import resources

from compression_engine.canonical import JSON, CanonicalError, canonical, decimal_text, digest_of, parse_json
from compression_engine.errors import EngineError

PRICE_SHEET_TYPE = "pressmark/price_sheet/1"
_PRICE = re.compile(r"(0|[1-9][0-9]{0,14})(\.[0-9]{0,14}[1-9])?")
_WATTS_SOURCE = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]{1,200}")
_OPTIONAL = ("idle_watts", "watts_source")
_CURRENCY = re.compile(r"[A-Z]{3}")
_COUNTS = {
    "amortisation_months": (1, 600),
    "predictions_per_month": (0, 10**15),
    "replicas": (1, 1_000_000),
}


@dataclass(frozen=True)
class PriceSheet:
    """Prices in one currency. Counts are whole numbers, everything else exact decimals."""

    currency: str
    per_cpu_hour: Decimal
    per_gib_hour_memory: Decimal
    per_gib_month_storage: Decimal
    per_kwh: Decimal
    grams_co2_per_kwh: Decimal
    predictions_per_month: int
    replicas: int = 1
    amortisation_months: int = 12
    watts_per_core: Decimal | None = None
    """What a busy core of the owner's machine draws beyond the idle machine."""
    idle_watts: Decimal | None = None
    """What the machine draws while it waits, as far as it is this model's to bear; a prediction bears it while it runs."""
    watts_source: str | None = None
    """Where the watts are from: a meter, a data sheet. Said wherever they are used."""

    @classmethod
    def parse(cls, data: bytes) -> PriceSheet:
        """A sheet from any spelling of its JSON; raises EngineError (price_sheet_invalid) that names the member."""
        document = _members(data)
        currency = document["currency"]
        if not isinstance(currency, str) or not _CURRENCY.fullmatch(currency):
            raise _invalid(f"'currency' is {currency!r}.", "Write the three letters of ISO 4217, such as EUR.")
        counts = {name: _count(name, document[name], *limits) for name, limits in _COUNTS.items()}
        watts = document["watts_per_core"]
        named = [name for name in _OPTIONAL if document.get(name) is not None]
        if named and watts is None:
            raise _invalid(
                f"'watts_per_core' is null, and {named[0]!r} is given.", "Give the watts of a busy core as well."
            )
        return cls(
            currency=currency,
            per_cpu_hour=_price("per_cpu_hour", document),
            per_gib_hour_memory=_price("per_gib_hour_memory", document),
            per_gib_month_storage=_price("per_gib_month_storage", document),
            per_kwh=_price("per_kwh", document),
            grams_co2_per_kwh=_price("grams_co2_per_kwh", document),
            watts_per_core=None if watts is None else _price("watts_per_core", document),
            idle_watts=_price("idle_watts", document) if "idle_watts" in named else None,
            watts_source=_source(document["watts_source"]) if "watts_source" in named else None,
            **counts,
        )

    def document(self) -> dict[str, JSON]:
        """The `pressmark/price_sheet/1` document; what may be left out is, where there is nothing."""
        found: dict[str, JSON] = {"type": PRICE_SHEET_TYPE}
        for entry in fields(self):
            value = getattr(self, entry.name)
            if value is None and entry.name in _OPTIONAL:
                continue
            found[entry.name] = decimal_text(value) if isinstance(value, Decimal) else value
        return found

    def digest(self) -> str:
        """SHA-256 of the canonical bytes."""
        return digest_of(canonical(self.document()))


def price_sheet_schema() -> JSON:
    """The JSON Schema of `pressmark/price_sheet/1`."""
    return parse_json((resources.files("compression_engine") / "schemas" / "price_sheet-1.json").read_bytes())


def _members(data: bytes) -> Mapping[str, JSON]:
    try:
        document = parse_json(data)
    except CanonicalError as error:
        raise _invalid(
            f"It cannot be read: {error}.", 'Give one JSON object; prices are text, as in "0.04".'
        ) from error
    expected = {entry.name for entry in fields(PriceSheet)} | {"type"}
    if not isinstance(document, Mapping) or document.get("type") != PRICE_SHEET_TYPE:
        raise _invalid("It is no price sheet.", f'Give an object with "type": "{PRICE_SHEET_TYPE}".')
    missing, unknown = sorted(expected - set(document) - set(_OPTIONAL)), sorted(set(document) - expected)
    if missing or unknown:
        what = f"It lacks {missing[0]!r}." if missing else f"It has the unknown member {unknown[0]!r}."
        hint = f"Its members are {', '.join(sorted(expected))}; it may lack {' and '.join(_OPTIONAL)}."
        raise _invalid(what, hint)
    return document


def _price(name: str, document: Mapping[str, JSON]) -> Decimal:
    text = document[name]
    if not isinstance(text, str) or not _PRICE.fullmatch(text):
        raise _invalid(f"{name!r} is {text!r}.", 'Write a decimal as text, not below zero, such as "0.04".')
    return Decimal(text)


def _source(value: JSON) -> str:
    if not isinstance(value, str) or not _WATTS_SOURCE.fullmatch(value):
        hint = "Say in one line, of at most 200 characters, where the watts are from."
        raise _invalid(f"'watts_source' is {value!r}.", hint)
    return value


def _count(name: str, value: JSON, low: int, high: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise _invalid(f"{name!r} is {value!r}.", f"Write a whole number from {low} to {high}.")
    return value


def _invalid(message: str, hint: str) -> EngineError:
    return EngineError("price_sheet_invalid", f"The price sheet cannot be used. {message}", hint)
