"""Every page in a real Chromium: nothing complains, all of it can be heard as well as seen, none is too wide."""

from __future__ import annotations

import pytest
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Browser, expect

from audit import checkpoints
from audit import services as audit
from registry.compression import services as compression
from registry.compression.models import Run
from registry.notices.services import register_webhook
from tests.browser.conftest import WIDE, Visitor, faults_of, serious, shoot
from tests.desk import scene as scenes
from tests.world import Cast, World, as_caller

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture(scope="module")
def scene(committed_db: None) -> scenes.Scene:
    """Built before the browser starts, with a child that the real engine made."""
    told = scenes.told(World(Cast.assemble()), engine=True)
    scenes.release_child(told)
    scenes.watched(told)
    checkpoints.grow()
    checkpoints.sign_next()
    return told


@pytest.fixture(scope="module")
def addresses(scene: scenes.Scene) -> dict[str, str]:
    """Every page by name."""
    model = [scene.model.team.slug, scene.model.slug]
    monitor = scene.model.monitors.get()
    bundle = audit.issue_bundle(actor=scene.world.cast.carla, model=scene.model, version=scene.child)
    approval = scene.child.approvals.order_by("-pk")[0]
    return {
        "home": reverse("desk:home"),
        "models": reverse("desk:models"),
        "model": reverse("desk:model", args=model),
        "assessment": reverse("audit:assessment", args=model),
        "as-of": reverse("audit:model-as-of", args=model) + "?compare_position=20",
        "ledger": reverse("audit:ledger") + "?stream=search/minilm",
        "entry": reverse("audit:entry", args=[20]),
        "team-as-of": reverse("audit:team-as-of", args=model[:1]),
        "bundles": reverse("audit:bundles"),
        "bundle": reverse("audit:bundle", args=[bundle.pk]),
        "parent": reverse("desk:version", args=[*model, scene.parent.number]),
        "child": reverse("desk:version", args=[*model, scene.child.number]),
        "request-run": reverse("desk:request-run", args=[*model, scene.parent.number]),
        "request-approval": reverse("desk:request-approval", args=[*model, scene.parent.number]),
        "evaluate-gate": reverse("desk:evaluate-gate", args=[*model, scene.parent.number]),
        "roll-back": reverse("desk:roll-back", args=[*model, "production"]),
        "sign-waiver": reverse("desk:sign-waiver", args=[*model, scene.parent.number]),
        "suspend": reverse("desk:suspend", args=[*model, "production"]),
        "runs": reverse("desk:runs"),
        "run": reverse("desk:run", args=[scene.run.pk]),
        "approvals": reverse("desk:approvals"),
        "approval": reverse("desk:approval", args=[approval.pk]),
        "monitors": reverse("desk:monitors"),
        "monitor": reverse("desk:monitor", args=[monitor.pk]),
        "incident": reverse("desk:incident", args=[monitor.incidents.get().pk]),
        "datasets": reverse("desk:datasets"),
        "dataset": reverse("desk:dataset", args=["search", "sentence-pairs"]),
        "search": reverse("desk:search") + "?q=minilm",
    }


def test_every_page_is_quiet_accessible_and_fits(addresses: dict[str, str], served: str, browser: Browser) -> None:
    visitor = Visitor(browser, served, "light", WIDE)
    visitor.open("/login/")
    shoot(visitor, "login")
    assert serious(visitor) == []
    visitor.log_in("ada")
    assert faults_of(visitor, addresses) == {}
    decider = Visitor(browser, served, "light", WIDE)
    decider.log_in("omar")
    own = {f"{name}-omar": addresses[name] for name in ("home", "incident", "model")}
    more = {name: reverse(f"desk:{name}") for name in ("notices", "appoint-deputy", "register-target")}
    assert faults_of(decider, {**own, **more}) == {}


def test_pages_of_who_runs_the_installation_are_quiet_accessible_and_fit(
    scene: scenes.Scene, served: str, browser: Browser
) -> None:
    kinds = ["alias.promoted", "alias.rolled_back", "approval.requested", "incident.opened"]
    url = "https://hooks.example.org/a/path/that/goes/on/and/on/until/it/does/not/fit/a/small/screen/any/more"
    register_webhook(actor=scene.world.cast.root, url=url, kinds=kinds)
    visitor = Visitor(browser, served, "light", WIDE)
    visitor.log_in("root")
    pages = {f"{name}-root": reverse(f"desk:{name}") for name in ("home", "webhooks", "notices", "author-tier-table")}
    assert faults_of(visitor, pages) == {}


def set_run(run: Run, **columns: object) -> None:
    """What a worker writes about its progress, without the worker."""
    Run.objects.filter(pk=run.pk).update(heartbeat_at=timezone.now(), **columns)


def test_a_run_is_followed_without_loading_the_page_again(scene: scenes.Scene, served: str, browser: Browser) -> None:
    run = scene.world.run()
    visitor = Visitor(browser, served, "light", 1280)
    visitor.log_in("ada")
    visitor.open(reverse("desk:run", args=[run.pk]))
    expect(visitor.page.get_by_role("heading", name="Waiting for a worker")).to_be_visible()
    told = {"stage": "compress", "done": 3, "total": 40, "message": "layer.0"}
    set_run(run, state="running", attempt=1, progress=told)
    expect(visitor.page.get_by_role("heading", name="At work")).to_be_visible(timeout=8000)
    shoot(visitor, "run-at-work")
    visitor.page.evaluate("window.stayed = true")
    set_run(run, progress={"stage": "fidelity", "done": 30, "total": 40, "message": "row 300"})
    expect(visitor.page.get_by_text("Comparing answers")).to_be_visible(timeout=8000)
    assert visitor.page.evaluate("[document.querySelector('progress').value, window.stayed]") == [30, True]
    compression.cancel_run(actor=as_caller(run.requested_by), run=run)
    set_run(run, state="cancelled")
    expect(visitor.page.get_by_text("cancelled")).to_be_visible(timeout=8000)
    assert visitor.complaints == []


def test_a_digest_is_copied_whole(scene: scenes.Scene, served: str, browser: Browser) -> None:
    visitor = Visitor(browser, served, "light", 1280)
    visitor.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    visitor.log_in("carla")
    visitor.open(reverse("desk:version", args=["search", "minilm", 2]))
    visitor.page.get_by_role("button", name="Copy the version digest").click()
    expect(visitor.page.get_by_role("button", name="Copied")).to_be_visible()
    assert visitor.page.evaluate("navigator.clipboard.readText()") == scene.child.digest


def test_the_story_is_read_without_scripts_and_printed_with_full_digests(
    scene: scenes.Scene, served: str, browser: Browser
) -> None:
    visitor = Visitor(browser, served, "light", 1000, scripts=False)
    visitor.log_in("carla")
    visitor.open(reverse("desk:version", args=["search", "minilm", 2]))
    assert visitor.page.get_by_role("button", name="Copy").count() == 0
    visitor.page.emulate_media(media="print")
    shown = visitor.page.locator(".head .digest").evaluate("e => getComputedStyle(e, '::after').content")
    assert scene.child.digest in shown
    assert not visitor.page.get_by_role("navigation", name="Main").is_visible()
    shoot(visitor, "story-printed")


def test_the_keyboard_reaches_the_content_first(scene: scenes.Scene, served: str, browser: Browser) -> None:
    visitor = Visitor(browser, served, "light", 1280)
    visitor.log_in("ada")
    visitor.page.keyboard.press("Tab")
    skip = visitor.page.get_by_role("link", name="Skip to the content")
    expect(skip).to_be_focused()
    assert skip.bounding_box()["x"] >= 0
    visitor.page.keyboard.press("Enter")
    assert visitor.page.evaluate("document.activeElement.id") == "content"


def test_the_menu_stands_in_one_row_on_a_screen_of_1280_pixels(
    scene: scenes.Scene, served: str, browser: Browser
) -> None:
    visitor = Visitor(browser, served, "light", 1280)
    visitor.log_in("root")
    assert visitor.page.locator("header.band").bounding_box()["height"] < 64
