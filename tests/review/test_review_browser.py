"""The desk in a real browser: from signing in to the `decisions` topic, two reviewers, a lapsed lease.

Screenshots are left in runs/screenshots/ (not in the repository) to be looked at.
"""

from __future__ import annotations

import os
import re
import shutil
import time
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from sqlalchemy import select

from review.ports import Quarantine
from review.tables import case_audio

SHOTS = Path(__file__).parents[2] / "runs" / "screenshots"
AXE = Path(__file__).parents[2] / "review" / "assets" / "node_modules" / "axe-core" / "axe.min.js"
DESKTOP = {"width": 1280, "height": 800}
TABLET = {"width": 820, "height": 1180}
WAIT_MS = 45_000  # a loaded machine is slow; a quick one does not notice

FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required",
)  # fmt: skip


def until(page: Page, script: str, *, within_s: float = 30.0) -> None:
    """Poll from outside: polling inside the page needs eval, which its security policy forbids."""
    deadline = time.monotonic() + within_s
    while not page.evaluate(script):
        assert time.monotonic() < deadline, f"still not so after {within_s} s: {script}"
        page.wait_for_timeout(100)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    path = os.environ.get("SOUNDALIKE_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        message = "Chromium is missing (on Debian: apt install chromium); or set SOUNDALIKE_CHROMIUM to it"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        expect.set_options(timeout=WAIT_MS)
        yield browser
        browser.close()


@pytest.fixture
def reviewer(chromium: Browser) -> Iterator[Callable[..., Any]]:
    """`with reviewer(live, "ann") as page:` a browser of one's own, signed in; fails on script errors."""

    @contextmanager
    def open_page(
        live: Any, name: str, *, viewport: Any = DESKTOP, dark: bool = False, axe: bool = False
    ) -> Any:
        context = chromium.new_context(
            viewport=viewport,
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
            bypass_csp=axe,  # axe writes inline styles while it measures contrast; the desk never does
        )
        context.set_default_timeout(WAIT_MS)
        # Says what was blocked and where; the browser's own message names the policy only.
        context.add_init_script(
            "addEventListener('securitypolicyviolation', (event) => console.error("
            "'blocked', event.violatedDirective, event.sample, event.target?.outerHTML?.slice(0, 300)))"
        )
        page = context.new_page()
        troubles: list[str] = []
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on(
            "console",
            lambda line: troubles.append(f"{line.text} {line.location}") if line.type == "error" else None,
        )
        page.goto(f"{live.url}/login")
        page.get_by_label("Name").fill(name)
        page.get_by_label("Password").fill(live.password)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url("**/queue")
        yield page
        context.close()
        # An answer of 409 is part of the tests below; the browser logs it as an error of its own.
        assert [text for text in troubles if "409" not in text] == []

    return open_page


def shot(page: Page, name: str) -> None:
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"{name}.png")


def seed(live: Any, upload_id: str = "up-1", **changes: Any) -> None:
    uri = changes.get("audio", {}).get("uri") or (live.desk.references.folder / "quick.flac").as_uri()
    title = changes.pop("title", "Desert (sped up)")
    audio = {"uri": uri, "duration_s": 30.0, "loudness_lufs": -24.0, "sample_rate_hz": 48_000, "channels": 1}
    live.publish("uploads", live.upload_bytes(upload_id, uri=uri, title=title, artist="Nightdrive"))
    live.publish("flags", live.flag_bytes(upload_id, **{"audio": audio, **changes}))


def open_case(live: Any, page: Page) -> None:
    """By the keyboard, and until its pictures are there."""
    live.wait_for(lambda: _media_ready(live))
    page.reload()
    expect(page.locator("tr[data-case]").first).to_be_visible()
    page.keyboard.press("n")
    page.wait_for_url("**/cases/*")
    expect(page.locator("html[data-ready]")).to_be_attached()


def _media_ready(live: Any) -> bool:

    with live.desk.database.read() as connection:
        states = list(connection.execute(select(case_audio.c.state)).scalars())
    return bool(states) and "pending" not in states


def axe_violations(page: Page) -> list[str]:
    page.evaluate(AXE.read_text())  # evaluated by the debugger: the page's own policy forbids foreign scripts
    found = page.evaluate("axe.run({resultTypes: ['violations']})")
    return [f"{v['id']}: {v['help']} {[n['target'] for n in v['nodes'][:3]]}" for v in found["violations"]]


def test_keyboard_from_the_queue_to_the_topic(live_with: Any, reviewer: Any) -> None:
    with live_with(undo_s=12.0) as live, reviewer(live, "ann") as page:
        seed(live)
        open_case(live, page)
        expect(page.get_by_role("heading", level=1)).to_have_text("Desert (sped up)")
        until(page, "document.querySelectorAll('.spectrum img:not([hidden])').length === 2")
        until(
            page,
            "[...document.querySelectorAll('.spectrum img')].every(i => i.complete && i.naturalWidth > 100)",
        )
        page.keyboard.press(" ")
        until(page, "document.documentElement.dataset.firstSoundMs !== undefined")
        until(page, "document.querySelector('#audio-a').currentTime > 5.3")
        page.keyboard.press("b")
        until(page, "!document.querySelector('#audio-b').paused")
        position = page.evaluate("document.querySelector('#audio-b').currentTime")
        assert 8.2 < position < 20  # reference second 8 is upload second 5
        assert page.evaluate("document.querySelector('#audio-b').playbackRate") == 1.25
        assert page.evaluate("document.querySelector('#audio-a').paused")
        shot(page, "case")
        page.keyboard.press("t")
        assert page.evaluate("document.querySelector('#audio-b').playbackRate") == 1
        page.keyboard.press(" ")
        page.keyboard.press("y")
        shot(page, "decide")
        page.keyboard.press("1")
        page.wait_for_url("**/queue")
        expect(page.get_by_role("status").filter(has_text="Confirm: Clone")).to_be_visible()
        shot(page, "undo-offered")
        (event,) = live.wait_for(live.decisions)
        assert event["data"]["decision"] == "confirm"
        assert event["data"]["decided_by"] == "ann"


def test_undo_brings_the_case_back(live_with: Any, reviewer: Any) -> None:
    with live_with(undo_s=60.0) as live:
        seed(live)
        with reviewer(live, "ann") as page:
            open_case(live, page)
            page.keyboard.press("d")
            page.keyboard.press("1")
            page.wait_for_url("**/queue")
            page.keyboard.press("u")
            page.wait_for_url("**/cases/*")
            expect(page.get_by_text("Yours.")).to_be_visible()
        assert live.decisions() == []


def test_two_reviewers_and_a_lapsed_lease(live_with: Any, reviewer: Any) -> None:
    with live_with(lease_s=6.0) as live:
        seed(live)
        with reviewer(live, "ann") as ann, reviewer(live, "ben") as ben:
            open_case(live, ann)
            address = ann.url
            ben.goto(address)
            expect(ben.get_by_text("ann is working on this case.")).to_be_visible()
            ben.keyboard.press("c")
            expect(ben.locator("#toast")).to_contain_text("ann is working on this case until")
            shot(ben, "held-by-a-colleague")
            # Ann does nothing for longer than the lease: Ben may have it, and Ann can't decide any more.
            ben.wait_for_timeout(13_000)
            ben.keyboard.press("c")
            expect(ben.get_by_text("Yours.")).to_be_visible()
            ann.keyboard.press("y")
            if ann.locator("dialog[open]").count():  # her page may not have noticed yet
                ann.keyboard.press("1")
            expect(ann.locator("#toast")).to_contain_text(re.compile("claim it again|working on this case"))
            shot(ann, "lease-lapsed")
            ben.keyboard.press("d")
            ben.keyboard.press("1")
            ben.wait_for_url("**/queue")
            events = live.wait_for(live.decisions)
            assert [event["data"]["decided_by"] for event in events] == ["ben"]


def test_sign_in_at_the_identity_provider(live_with_oidc: Any, chromium: Browser) -> None:
    """The provider is another site: the session has to survive the way back all the same."""
    context = chromium.new_context(viewport=DESKTOP)
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()
    page.goto(f"{live_with_oidc.url}/queue")
    page.wait_for_url("**/login")
    shot(page, "login-with-provider")
    page.get_by_role("link", name="Sign in with your organisation").click()
    page.get_by_label("Who are you?").fill("olga:lead")
    page.get_by_role("button", name="Continue").click()
    page.wait_for_url("**/queue")
    expect(page.get_by_text("Olga lead")).to_be_visible()
    page.reload()
    expect(page.get_by_text("Olga lead")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/login")
    page.goto(f"{live_with_oidc.url}/queue")
    page.wait_for_url("**/login")
    page.get_by_role("link", name="Sign in with your organisation").click()
    page.get_by_label("Who are you?").fill("olga::")
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_text("none of the desk's roles")).to_be_visible()
    shot(page, "provider-no-role")
    context.close()


HOSTILE = '<img src=x onerror="document.title=1"> שיר חדש 🎵 \u202eevil'


def test_titles_are_text_in_any_script(live: Any, reviewer: Any) -> None:
    """HTML, right-to-left and emoji in every text that strangers write: shown as written, run nowhere."""
    seed(
        live, "up-1", title=HOSTILE, reason=f"It is {HOSTILE}", matches=[live.match_document("song", HOSTILE)]
    )
    with reviewer(live, "lea") as page:
        live.wait_for(lambda: page.reload() and page.locator("tr[data-case]").count() == 1)
        expect(page.locator("td.what a")).to_have_text(HOSTILE)
        shot(page, "hostile-queue")
        open_case(live, page)
        expect(page.get_by_role("heading", level=1)).to_have_text(HOSTILE)
        expect(page.locator("tr[data-match] button")).to_have_text(HOSTILE)
        assert page.evaluate("document.querySelector('h1 bdi').getBoundingClientRect().right <= innerWidth")
        assert page.locator("main img[src=x]").count() == 0
        assert page.title().endswith("Soundalike")
        shot(page, "hostile-case")
        page.keyboard.press("y")
        page.locator("#decide textarea").fill(HOSTILE)
        page.get_by_role("button", name="Clone: imitates").click()
        page.keyboard.press("Control+Enter")
        page.wait_for_url("**/queue")
        (event,) = live.wait_for(live.decisions)
        assert event["data"]["reason"] == f"clone: {HOSTILE}"


def test_audio_that_is_gone_and_a_reference_withdrawn_meanwhile(live: Any, reviewer: Any) -> None:
    audio = {"uri": (live.folder / "missing.wav").as_uri(), "duration_s": 30.0}
    matches = [live.match_document("gone", "Gone"), live.match_document("song", "Song", query_start_s=26.0,
                                                                         query_end_s=29.0)]  # fmt: skip
    seed(live, "up-1", audio=audio, matches=matches)
    with reviewer(live, "ann") as page:
        open_case(live, page)
        expect(page.get_by_text("The upload can't be played")).to_be_visible()
        expect(page.get_by_text("The reference Gone can't be played")).to_be_visible()
        expect(page.get_by_text("The reference Gone is no longer in the catalog")).to_be_visible()
        page.keyboard.press("]")
        page.keyboard.press("b")  # what is there can be heard all the same
        page.keyboard.press(" ")
        until(page, "!document.querySelector('#audio-b').paused")
        until(page, "document.querySelector('#audio-b').currentTime > 0")
        shot(page, "audio-gone")
        page.keyboard.press("d")
        page.keyboard.press("1")
        page.wait_for_url("**/queue")
        assert live.wait_for(live.decisions)


def test_a_three_hour_set_with_sixty_spans_can_be_walked_and_heard(live: Any, reviewer: Any) -> None:
    set_ = live.folder / "set.wav"
    with wave.open(str(set_), "wb") as file:  # 86 MB: streamed by range requests, never loaded whole
        file.setnchannels(1)
        file.setsampwidth(1)
        file.setframerate(8000)
        minute = bytes(128 + (n * 7) % 60 for n in range(8000)) * 60
        for _ in range(180):
            file.writeframes(minute)
    spans = [
        live.match_document("song", "Song", query_start_s=n * 180.0, query_end_s=n * 180.0 + 20.0,
                            reference_end_s=33.0, coverage=0.002)
        for n in range(60)
    ]  # fmt: skip
    seed(live, "set", title="Live at the lake", matches=spans,
         audio={"uri": set_.as_uri(), "duration_s": 10_800.0})  # fmt: skip
    with reviewer(live, "ann") as page:
        open_case(live, page)
        assert page.locator("tr[data-match]").count() == 60
        expect(page.get_by_text("No picture: ")).to_contain_text("3600 s")  # says what is missing, and why
        page.keyboard.press("[")  # round the corner, to the last
        expect(page.locator("tr[data-match][aria-current=true]")).to_have_attribute("data-match", "59")
        expect(page.locator("[data-clock]")).to_have_text("2:57:00")
        page.keyboard.press(" ")
        until(page, "document.querySelector('#audio-a').currentTime > 10620.2")
        page.keyboard.press("b")
        until(page, "document.querySelector('#audio-b').currentTime > 8")
        shot(page, "three-hours")
        page.keyboard.press("z")
        shot(page, "three-hours-whole")
        page.keyboard.press("y")
        page.keyboard.press("2")
        page.wait_for_url("**/queue")
        assert live.wait_for(live.decisions)


def test_bulk_takes_in_an_uploader_and_can_be_taken_back(live_with: Any, reviewer: Any) -> None:
    with live_with(undo_s=60.0) as live, reviewer(live, "ann") as page:
        for number in range(3):
            seed(live, f"up-{number}", title=f"Filler {number}")
        live.publish("uploads", live.upload_bytes("other", uploader="acct-2", title="Other"))
        live.publish("flags", live.flag_bytes("other"))
        live.wait_for(lambda: page.reload() and page.locator("tr[data-case]").count() == 4)
        page.get_by_label("Select Filler 1").check()
        page.get_by_role("button", name="+ same uploader").click()
        expect(page.locator("#bulk-count")).to_have_text("3")
        shot(page, "bulk")
        page.keyboard.press("y")
        expect(page.get_by_role("heading", name="Confirm 3 cases")).to_be_visible()
        page.keyboard.press("5")
        expect(page.locator("#toast")).to_contain_text("3 cases")
        expect(page.locator("tr[data-case]")).to_have_count(1)
        page.keyboard.press("u")
        page.wait_for_url("**/queue?show=mine")
        expect(page.locator("tr[data-case]")).to_have_count(3)
        assert live.decisions() == []


@pytest.mark.parametrize(
    ("size", "dark"), [(DESKTOP, False), (DESKTOP, True), (TABLET, False)], ids=["desktop", "dark", "tablet"]
)
def test_axe_finds_nothing(live: Any, reviewer: Any, request: Any, size: Any, dark: bool) -> None:
    """On every page, in its states, at 1280 × 800 and on a tablet; and nothing scrolls sideways."""
    name = request.node.callspec.id
    for number in range(3):
        seed(live, f"up-{number}", title=f"Desert {number}")

    def check(page: Page, what: str) -> None:
        assert axe_violations(page) == [], what
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), what
        shot(page, f"{name}-{what}")

    with reviewer(live, "lea", viewport=size, dark=dark, axe=True) as page:
        live.wait_for(lambda: _media_ready(live))
        page.reload()
        expect(page.locator("tr[data-case]")).to_have_count(3)
        page.locator("input[name=pick]").first.check()
        check(page, "queue")
        page.locator("tr[data-case] a").first.click()
        page.wait_for_url("**/cases/*")
        until(page, "document.querySelectorAll('.spectrum img:not([hidden])').length === 2")
        check(page, "case")
        page.keyboard.press("?")
        check(page, "keys")
        page.keyboard.press("Escape")
        page.keyboard.press("d")
        page.wait_for_selector("dialog#decide[open]")
        check(page, "decide")
        here = page.url
        page.keyboard.press("1")
        # The desk goes on by itself; a page asked for before that would be aborted.
        page.wait_for_url(lambda url: url != here)
        page.goto(f"{live.url}/quality")
        check(page, "quality")
        page.get_by_role("button", name="Sign out").click()
        page.wait_for_url("**/login")
        check(page, "login")
    with reviewer(live, "adm", viewport=size, dark=dark, axe=True) as page:
        for path in ("audit", "users"):
            page.goto(f"{live.url}/{path}")
            check(page, path)


@dataclass
class TwoQuarantines:
    """Of `song`, twice; `up-9` went by."""

    done: list[tuple[str, ...]] = field(default_factory=list)
    ids: tuple[str, ...] = ("q-1", "q-2")

    def waiting(self) -> list[Quarantine]:
        since = datetime.now(UTC) - timedelta(hours=2)
        ended = {one[1] for one in self.done}
        return [
            Quarantine(one, "song", "50 recordings within 60 minutes", since, ("up-0",), ("up-9",))
            for one in self.ids
            if one not in ended
        ]

    def keep(self, quarantine_id: str, *, reason: str, by: str, start_s: Any, end_s: Any) -> None:
        self.done.append(("keep", quarantine_id, reason, by, str(start_s), str(end_s)))

    def release(self, quarantine_id: str, *, reason: str, by: str) -> tuple[str, ...]:
        self.done.append(("release", quarantine_id, reason, by))
        return ("up-9",)


def test_a_lead_decides_about_quarantined_references(live_with: Any, reviewer: Any) -> None:
    quarantines = TwoQuarantines()
    with live_with(quarantines=quarantines) as live:
        seed(live, "up-0")
        live.wait_for(lambda: _media_ready(live))
        with reviewer(live, "lea", axe=True) as page:
            page.get_by_role("link", name="Look").click()
            expect(page.get_by_role("heading", name="Quarantine")).to_be_visible()
            assert axe_violations(page) == []
            shot(page, "quarantine")
            first = page.locator("article[data-quarantine=q-1]")
            first.get_by_role("button", name="Keep that span out").click()
            assert quarantines.done == []  # the browser asks for a reason first
            first.get_by_label("Reason").fill("silent intro")
            expect(first.get_by_label("From second")).to_have_value("8.0")  # what the one case matched
            first.get_by_label("to second").fill("12.5")
            first.get_by_role("button", name="Keep that span out").click()
            expect(first.get_by_text("Kept out.")).to_be_visible()
            second = page.locator("article[data-quarantine=q-2]")
            second.get_by_label("Reason").fill("a hit")
            second.get_by_role("button", name="Release").click()
            expect(second.get_by_label("Uploads to publish again")).to_have_value("up-9")
            assert axe_violations(page) == []
            page.reload()
            expect(page.get_by_text("No reference is quarantined.")).to_be_visible()
    assert quarantines.done == [
        ("keep", "q-1", "silent intro", "lea", "8.0", "12.5"),
        ("release", "q-2", "a hit", "lea"),
    ]


def test_people_are_added_and_disabled_on_their_page(live: Any, reviewer: Any) -> None:
    with reviewer(live, "adm") as page:
        page.goto(f"{live.url}/users")
        page.get_by_label("Name", exact=True).fill("nina")
        page.get_by_label("Role", exact=True).select_option("reviewer")
        page.get_by_label("Password").fill(live.password)
        page.get_by_role("button", name="Add", exact=True).click()
        expect(page.get_by_label("Role of nina")).to_have_value("reviewer")
        page.get_by_label("Role of nina").select_option("lead")
        page.wait_for_load_state()
        expect(page.get_by_label("Role of nina")).to_have_value("lead")
        with reviewer(live, "nina") as hers:
            row = page.locator("tr[data-user=nina]")
            row.get_by_role("button", name="Disable").click()
            row.get_by_role("button", name="Sure?").click()
            expect(row).to_contain_text("disabled")
            hers.goto(f"{live.url}/queue")
            hers.wait_for_url("**/login")


def test_a_tablet_shows_all_without_scrolling_sideways(live: Any, reviewer: Any) -> None:
    seed(live)
    with reviewer(live, "ann", viewport=TABLET) as page:
        open_case(live, page)
        until(page, "document.querySelectorAll('.spectrum img:not([hidden])').length === 2")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        shot(page, "case-tablet")
        page.goto(f"{live.url}/queue?show=mine")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        shot(page, "queue-tablet")


def test_the_list_filters_without_a_reload(live: Any, reviewer: Any) -> None:
    seed(live, "up-1", title="Desert")
    seed(live, "up-2", title="Ocean")
    with reviewer(live, "ann") as page:
        live.wait_for(lambda: page.reload() and page.locator("tr[data-case]").count() == 2)
        page.evaluate("window.here = true")
        page.keyboard.press("/")
        page.keyboard.type("ocean")
        expect(page.locator("tr[data-case]")).to_have_count(1)
        expect(page.locator("tr[data-case]")).to_contain_text("Ocean")
        assert page.evaluate("window.here")
