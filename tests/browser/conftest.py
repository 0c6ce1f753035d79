"""A real Chromium before the real server. Where no Chromium is installed these tests are skipped, and say so.

A file has one world, one server and one browser: what its tests do to the world stays until the file ends, so those that only
look come first.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.conf import settings
from django.core.cache import cache
from django.test import TransactionTestCase, override_settings
from playwright.sync_api import Browser, Page, Request, sync_playwright
from pytest_django.live_server_helper import LiveServer

from audit import keys
from tests.world import PASSWORD
from tests.worlds.audit import restore_keys_note

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SWITCHES = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


SHOT_HEIGHT = 1100
SHOTS = os.environ.get("PRESSMARK_SCREENSHOTS")
WIDE, NARROW = 1280, 390


@pytest.fixture(scope="module", autouse=True)
def _own_folders(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Each file has keys, a store, checkpoints, runs and a cache of its own."""
    home = tmp_path_factory.mktemp("home")
    shutil.copytree(Path(settings.PRESSMARK_KEYS), home / "keys")
    keys.forget()
    with override_settings(
        PRESSMARK_STORE=home / "store", PRESSMARK_CHECKPOINTS=home / "checkpoints", PRESSMARK_RUNS=home / "runs",
        PRESSMARK_KEYS=home / "keys",
    ):  # fmt: skip
        cache.clear()
        yield
    keys.forget()


@pytest.fixture(scope="module")
def _django_db_helper() -> None:
    """No transaction around a test, and nothing emptied after it: `committed_db` does it once for the file."""


@pytest.fixture(scope="module")
def committed_db(_own_folders: None, django_db_blocker: Any) -> Iterator[None]:
    """A database whose commits are real, and emptied when the file ends."""
    with django_db_blocker.unblock():
        restore_keys_note()
        yield
        TransactionTestCase("__init__")._fixture_teardown()


@pytest.fixture(scope="module")
def served(committed_db: None) -> Iterator[str]:
    """The address of the real server before the world of the file."""
    server = LiveServer("localhost")
    server._live_server_modified_settings.enable()
    yield server.url
    server._live_server_modified_settings.disable()
    server.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Started after the scene is built: Playwright's loop would make Django refuse the database in this thread."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)
        yield found
        found.close()


class Visitor:
    """One person in one window; whatever the browser complains about is kept."""

    def __init__(self, browser: Browser, base: str, scheme: str, width: int, *, scripts: bool = True) -> None:
        self.complaints: list[str] = []
        self.base = base
        context = browser.new_context(
            color_scheme=scheme, viewport={"width": width, "height": 900}, java_script_enabled=scripts
        )  # type: ignore[arg-type]
        self.page: Page = context.new_page()
        self.page.on(
            "console", lambda said: self.complaints.append(said.text) if said.type in ("error", "warning") else None
        )
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("requestfailed", self._failed)

    def _failed(self, request: Request) -> None:
        """A picture that is still under way when the next page opens is given up by the browser: that is no complaint."""
        if request.failure != "net::ERR_ABORTED":
            self.complaints.append(f"failed: {request.url}: {request.failure}")

    def log_in(self, name: str) -> None:
        self.page.goto(self.base + "/login/")
        self.page.fill("#id_username", name)
        self.page.fill("#id_password", PASSWORD)
        self.page.click("main button[type=submit]")
        self.page.wait_for_url(self.base + "/")

    def open(self, path: str) -> Any:
        return self.page.goto(self.base + path)

    def widen(self, width: int, scheme: str) -> None:
        """The same page in another window."""
        self.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        self.page.set_viewport_size({"width": width, "height": 900})


def shoot(visitor: Visitor, name: str) -> None:
    """A picture for people, where PRESSMARK_SCREENSHOTS names a folder."""
    if SHOTS:
        Path(SHOTS).mkdir(parents=True, exist_ok=True)
        tall, wide = visitor.page.evaluate(
            "[document.documentElement.scrollHeight, document.documentElement.clientWidth]"
        )
        for part, top in enumerate(range(0, tall, SHOT_HEIGHT)):
            clip = {"x": 0, "y": top, "width": wide, "height": min(SHOT_HEIGHT, tall - top)}
            visitor.page.screenshot(path=f"{SHOTS}/{name}-{part}.png", full_page=True, clip=clip)


_SETTLED = """
Promise.allSettled(document.getAnimations()
    .filter(one => one.effect.getComputedTiming().endTime !== Infinity)
    .map(one => one.finished)
).then(() => null)
"""
"""Waits for colours that are still on their way to what they will be in another scheme: halfway they contrast with nothing."""


def serious(visitor: Visitor, *rules: str) -> list[tuple[str, list[str]]]:
    """What axe finds of weight on the page, by all its rules or by those named: the rule, and where."""
    if visitor.page.evaluate("typeof axe === 'undefined'"):
        visitor.page.evaluate(Axe().axe_script)
    asked = {"resultTypes": ["violations"], **({"runOnly": list(rules)} if rules else {})}
    visitor.page.evaluate(_SETTLED)
    found = visitor.page.evaluate("options => axe.run(document, options).then(r => r.violations)", asked)
    grave = [v for v in found if v["impact"] in ("serious", "critical")]
    return [(v["id"], [node["html"][:160] for node in v["nodes"][:3]]) for v in grave]


def faults_of(visitor: Visitor, pages: Mapping[str, str]) -> dict[str, Any]:
    """What is wrong with pages that one person opens once each: by axe in a wide window, in a narrow one what depends on the width,
    in the dark the contrasts; wider than either window; and whatever the browser complains about."""
    found: dict[str, Any] = {}
    for name, path in pages.items():
        answer = visitor.open(path)
        wrong: list[Any] = [] if answer.status == 200 else [f"answers {answer.status}"]
        for summary in visitor.page.locator("main details:not([open]) > summary").all():
            if summary.is_visible():
                summary.click()
        for width, scheme, rules in _WINDOWS:
            visitor.widen(width, scheme)
            shoot(visitor, f"{name}-{width}-{scheme}")
            wrong += serious(visitor, *rules)
            shown = visitor.page.evaluate("document.documentElement.scrollWidth")
            wrong += [f"{shown} wide in {width}"] if shown > width else []
        found |= {name: wrong} if wrong else {}
        visitor.widen(WIDE, "light")
    return found | ({"the browser": visitor.complaints} if visitor.complaints else {})


_WINDOWS: tuple[tuple[int, str, tuple[str, ...]], ...] = (
    (WIDE, "dark", ("color-contrast",)),
    (NARROW, "light", ("scrollable-region-focusable", "target-size", "link-in-text-block")),
    (WIDE, "light", ()),
)
