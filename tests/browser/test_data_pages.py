"""Pages about data and what is kept, in a real Chromium: quiet, accessible, and no wider than the window."""

from __future__ import annotations

import datetime

import pytest
from django.urls import reverse
from playwright.sync_api import Browser, expect

from registry.access.models import Role
from registry.oversight.services_proofs import place_hold, sign_review
from registry.oversight.subjects import of_dataset, of_dataset_version
from registry.provenance import services
from registry.provenance.services_documents import attach_document
from registry.release.services import request_purge
from tests.browser.conftest import WIDE, Visitor, faults_of
from tests.world import Cast, World

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
ABOUT = "?about=dataset_version%3Asearch%2Fsupport-calls%401"


@pytest.fixture(scope="module")
def addresses(committed_db: None) -> dict[str, str]:
    """Every page of this kind, about data of which much is known, and of which little is."""
    world = World(Cast.assemble())
    rows = world.dataset_version(
        [{"text": "One sentence.", "label": "billing", "a_column_with_a_very_long_name_that_must_break_somewhere": 1}],
        slug="support-calls", licence="CC-BY-SA-4.0", uses=("training", "calibration"), personal_data="yes", consent="yes",
        third_party_works="yes", third_party_basis="Licensed from the publisher until 2031, contract of 4 May.",
        opt_out_honoured="yes", owner="Musterverlag GmbH, Bern", collection="Telephone calls, written down by hand.",
        known_biases="Mostly adults; few calls in French.", collected_from=datetime.date(2024, 1, 1),
        collected_until=datetime.date(2024, 6, 30), retain_until=datetime.date(2031, 12, 31),
    )  # fmt: skip
    subject = of_dataset_version(rows)
    digest = world.upload(b"%PDF-1.7\n...").digest
    attach_document(actor=world.cast.ada, subject=subject, kind="privacy-assessment", digest=digest, title="DPIA 2024")
    next_on = datetime.datetime.now(datetime.UTC).date() + datetime.timedelta(days=90)
    given = {"subject": subject, "kind": "vetting", "accepted": True, "statement": "Read 200 rows, two wrong labels."}
    sign_review(actor=world.cast.carla, next_on=next_on, **given)  # type: ignore[arg-type]
    purge = request_purge(actor=world.cast.root, subject=subject, reason="The contract ended.")
    hold = place_hold(actor=world.cast.carla, subject=of_dataset(rows.dataset), reason="A dispute about the contract.")
    files = [
        {"path": f"shards/part-{n:05}.parquet", "digest": f"sha256:{n:064x}", "size_bytes": n * 10**9} for n in (1, 2)
    ]
    services.register_dataset_version(
        actor=world.cast.ada, dataset=world.dataset("crawl"), licence=world.licence("LicenseRef-pressmark-unknown"),
        origin="Named on a model card.", uses=["training"], declared_files=files,
    )  # fmt: skip
    world.person("clara", Role.COMPLIANCE_OFFICER)
    forms = {
        name: reverse(f"desk:{name}") + ABOUT
        for name in ("attach-document", "sign-review", "place-hold", "request-purge")
    }
    return {
        "data": reverse("desk:dataset", args=["search", "support-calls"]),
        "data-version": reverse("desk:dataset-version", args=["search", "support-calls", 1]),
        "data-elsewhere": reverse("desk:dataset", args=["search", "crawl"]),
        "purge": reverse("desk:purge", args=[purge.pk]),
        "end-hold": reverse("desk:end-hold", args=[hold.pk]),
        **forms,
    }  # fmt: skip


def test_pages_about_data_are_quiet_accessible_and_fit(
    addresses: dict[str, str], served: str, browser: Browser
) -> None:
    visitor = Visitor(browser, served, "light", WIDE)
    visitor.log_in("carla")
    assert faults_of(visitor, addresses) == {}


def test_an_attached_page_is_downloaded_and_never_opened(
    addresses: dict[str, str], served: str, browser: Browser
) -> None:
    visitor = Visitor(browser, served, "light", 1280)
    visitor.log_in("carla")
    visitor.open(addresses["attach-document"])
    page = {"name": "report.html", "mimeType": "text/html", "buffer": b"<title>mine</title><script>alert(1)</script>"}
    visitor.page.set_input_files("#id_file", page)  # type: ignore[arg-type]
    visitor.page.select_option("#id_kind", "test-report")
    visitor.page.fill("#id_title", "A page with a script")
    visitor.page.click("main button[type=submit]")
    link = visitor.page.get_by_role("link", name="A page with a script")
    expect(link).to_be_visible()
    with visitor.page.expect_download() as started:
        link.click()
    assert started.value.suggested_filename.endswith(".txt")
    assert visitor.page.title() != "mine"
    assert visitor.complaints == []
