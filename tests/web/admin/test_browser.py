"""A person's way through the pages, in a real browser; skipped where there is no Chromium."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.lab.channel import Recipe, build_channel
from tests.lab.origin import Behaviour, Origin
from tests.lab.server import MirrorConfig, ProxyServer, eventually, free_port

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine's PATH"),
]

FILES = 40
RATE = 1_500_000  # bytes per second: the run takes some seconds, so that it can be watched
RECIPES = (
    *(Recipe(name=f"lab{number}", payload=150_000) for number in range(FILES)),
    *(Recipe(name=f"secret{number}") for number in range(3)),
)
PHONE = {"width": 360, "height": 740}


@dataclass
class Browser:
    """A page, and everything that it complained about."""

    page: Any
    url: str
    complaints: list[str]

    def open(self, path: str) -> None:
        self.page.goto(f"{self.url}{path}")

    def sees(self, text: str) -> None:
        self.page.get_by_text(text).first.wait_for(timeout=30_000)


@pytest.fixture
def origin(tmp_path: Path) -> Iterator[Origin]:
    build_channel(tmp_path / "origin" / "lab", RECIPES)
    with Origin(tmp_path / "origin", Behaviour(rate=RATE)) as made:
        yield made


@pytest.fixture
def browser(tmp_path: Path, origin: Origin) -> Iterator[Browser]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    port = free_port()
    fixed = MirrorConfig(type="conda", name="fixed", source=f"{origin.url}/lab")
    long = MirrorConfig(type="conda", name="a-department/of-some-size/main", source=origin.url)
    tables = {"admin": {"listen": f"127.0.0.1:{port}"}}
    with (
        ProxyServer(tmp_path / "server", [fixed, long], tables=tables),
        playwright.sync_playwright() as running,
    ):
        chromium = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = chromium.new_page()
        made = Browser(page, f"http://127.0.0.1:{port}", [])
        page.on("console", lambda it: made.complaints.append(it.text) if it.type == "error" else 0)
        page.on("pageerror", lambda it: made.complaints.append(str(it)))
        yield made
        chromium.close()
        assert not made.complaints


def test_a_mirror_is_made_run_stopped_frozen_and_deleted(browser: Browser, origin: Origin) -> None:
    page = browser.page
    browser.open("/mirrors")
    page.get_by_role("link", name="Make a mirror").click()
    page.get_by_label(re.compile("^Name")).fill("lab")
    page.get_by_label(re.compile("^Source")).fill(f"{origin.url}/lab")
    page.get_by_label("Mode").select_option("active")
    page.get_by_label("Exclude").fill("secret*")
    page.get_by_label("Frequency").fill("30 2 * * sat")
    browser.sees("Runs: At 02:30 on Saturday, UTC.")  # as it is written
    page.get_by_role("button", name="Read it to me").click()
    browser.sees("02:30")
    page.get_by_role("button", name="Make it").click()
    browser.sees("The mirror is made, and served.")

    page.get_by_role("button", name="Run now").click()
    page.get_by_role("progressbar").wait_for()
    bar = page.get_by_role("progressbar")
    # Nobody loads the page again: the script does.
    eventually(lambda: float(bar.get_attribute("value")) > 3, "the progress is shown")
    page.get_by_role("button", name="Stop the run").click()
    page.locator(".mark-stopped").first.wait_for()
    before = float(bar.get_attribute("value"))
    assert 3 < before < FILES

    page.get_by_role("button", name="Run now").click()
    page.locator(".mark-completed").first.wait_for(timeout=30_000)
    figures = page.locator(".figures").inner_text().split("\n")
    told = dict(zip(figures[::2], figures[1::2], strict=True))
    assert int(told["Hidden by policy"]) == 3
    assert int(told["Here before"]) >= before
    assert int(told["Here before"]) + int(told["Fetched"]) == FILES
    browser.sees("the mirror conda/lab excludes it")

    page.get_by_role("button", name="Freeze").click()
    page.locator(".mark-frozen").wait_for()
    page.get_by_role("link", name="Unfreeze").click()
    browser.sees("Nothing would change.")
    page.get_by_role("button", name="Unfreeze it").click()
    browser.sees("The mirror is no longer frozen")

    page.get_by_label("Package").fill("secret1")
    page.get_by_role("button", name="Search").click()
    browser.sees("secret1-1.0-0.conda")
    page.get_by_role("link", name="Delete").click()
    page.get_by_role("button", name="Delete it").click()
    browser.sees("The mirror is deleted.")
    assert page.get_by_role("link", name="conda/lab").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_fit_a_telephone_in_light_and_dark(browser: Browser, scheme: str) -> None:
    page = browser.page
    page.set_viewport_size(PHONE)
    page.emulate_media(color_scheme=scheme)
    paths = (
        "/",
        "/mirrors",
        "/mirrors/new",
        "/mirrors/conda%2Ffixed",
        "/policies",
        "/policies/diff",
    )
    for path in (*paths, "/events", "/setup"):
        browser.open(path)
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= PHONE["width"], f"{path} is {wide} wide"
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (paper == "rgb(255, 255, 255)") is (scheme == "light")


def test_everything_can_be_reached_by_keyboard(browser: Browser) -> None:
    page = browser.page
    browser.open("/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#content"
    browser.open("/mirrors")
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "Make a mirror":
            break
    page.keyboard.press("Enter")
    browser.sees("Make it")


def test_without_a_script_a_run_is_begun_all_the_same(browser: Browser, origin: Origin) -> None:
    context = browser.page.context.browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{browser.url}/mirrors/new")
    page.locator("[name=name]").fill("plain")
    page.locator("[name=source]").fill(f"{origin.url}/lab")
    page.locator("[name=mode]").select_option("active")
    page.locator("[name=newest]").fill("1")
    page.locator("text=Make it").click()
    page.locator("text=Run now").click()
    assert "A run has begun." in page.locator("main").inner_text()
    page.locator("text=Stop the run").click()
    context.close()
