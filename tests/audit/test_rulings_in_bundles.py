"""A bundle holds every ruling that its terms rest on, under whichever number of the licence it was authored."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from audit import scopes
from audit.bundles.about import About
from audit.facts.base import PASSES
from audit.facts.case import Case
from audit.facts.origin import licences_known
from audit.scopes import Scope
from registry.catalog.models import ModelVersion
from registry.provenance import licences, services_licences
from registry.provenance.licences import TERMS, Term
from registry.provenance.models import Licence, LicenceRuling
from tests.audit.handed_over import YES, built, newest, outside, results, sealed, verifier
from tests.provenance.test_author_ruling import author
from tests.world import World

EULA = "LicenseRef-pressmark-falcon-180b-tii"
READ = {term: {"answer": "conditions", "sentence": "Section 4 says so in plain words."} for term in TERMS}


@pytest.fixture
def ruled(world: World, monkeypatch: pytest.MonkeyPatch) -> tuple[ModelVersion, LicenceRuling]:
    """A version under number 1 of a licence, and one under an expression that it is part of; the ruling is about number 2."""
    version = world.version(licence=EULA)
    world.version(version.model, seed=2, licence=f"{EULA} AND MIT")
    pack = licences.pack()
    entry = pack.entries[EULA]
    reread = dataclasses.replace(entry, terms=entry.terms | {"naming": Term("unknown", "Read it again.")})
    monkeypatch.setattr(licences, "pack", lambda: dataclasses.replace(pack, entries=pack.entries | {EULA: reread}))
    second = world.licence(EULA)
    assert second.number == 2
    return version, services_licences.approve_ruling(actor=world.cast.root, ruling=author(world, second, READ))


def case(version: ModelVersion, scope: Scope, about: ModelVersion | None) -> Case:
    """What a reader of the bundle knows: nothing but the streams of its scope."""
    key = None if about is None else str(about.pk)
    snapshot = About(version.model, key, scope, "2999-01-01T00:00:00.000000Z").snapshot
    assert snapshot is not None
    return Case(snapshot)


def test_the_offline_facts_name_a_ruling_on_another_number_of_the_licence(
    world: World, ruled: tuple[ModelVersion, LicenceRuling], tmp_path: Path
) -> None:
    version, ruling = ruled
    whole = case(version, scopes.of_model(version.model), None)
    licence = whole.licence_of(next(v for v in whole.snapshot.all("catalog.version") if v.id == str(version.pk)))
    assert licence is not None
    assert licence.row["number"] == 1
    assert whole.terms_of(licence)["output_use"]["answer"] == "conditions"
    joined = whole.snapshot.get("provenance.licence", str(Licence.objects.get(expression=f"{EULA} AND MIT").pk))
    assert joined is not None
    assert whole.terms_of(joined)["output_use"]["answer"] == "conditions"
    fact = licences_known(whole, {})
    assert fact.outcome == PASSES
    assert ("provenance.ruling", str(ruling.pk)) in [(given.name, given.id) for given in fact.inputs]
    one = case(version, scopes.of_version(version), version)
    assert one.snapshot.get("provenance.ruling", str(ruling.pk)) is not None
    target = built(sealed(world.cast.carla, version.model), tmp_path, "bundle.zip")
    code, verdict = verifier(target, *outside(tmp_path, newest()))
    assert (code, results(verdict)) == (0, YES), verdict
