"""How long a reviewer waits in the browser: until a case stands there, and until it sounds."""

from __future__ import annotations

import os
import shutil
import statistics
from typing import Any

from playwright.sync_api import Page, sync_playwright

FLAGS = ("--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required")
LIMIT_MS = 60_000

# Sound is there when the element's clock has moved on from where it stood, not when playing was granted.
_FIRST_SOUND = """() => new Promise((resolve) => {
  const audio = document.querySelector('#audio-a');
  const stood = audio.currentTime;
  const asked = performance.now();
  const look = () => (audio.currentTime > stood && !audio.paused)
    ? resolve(performance.now() - asked) : requestAnimationFrame(look);
  document.querySelector('[data-do=play]').click();
  look();
})"""
# Taken inside the page: what Playwright hears of it comes a few hundred milliseconds later.
_WATCH = """
  new MutationObserver(() => { window.readyAt ??= performance.now(); })
    .observe(document, { subtree: true, attributes: true, attributeFilter: ['data-ready'] });
  document.addEventListener('load', (event) => {
    if (event.target.matches?.('.spectrum img')) window.drawnAt = performance.now();
  }, true);
"""
_TIMES = """() => ({
  page_ms: performance.getEntriesByType('navigation')[0].responseEnd,
  painted_ms: performance.getEntriesByName('first-contentful-paint')[0].startTime,
  ready_ms: window.readyAt,
  pictures_ms: window.drawnAt,
})"""


def measure_browser(url: str, name: str, password: str, *, cases: int) -> dict[str, Any]:
    """Opens the most urgent cases one after the other and plays each from its matched second."""
    path = os.environ.get("SOUNDALIKE_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        raise SystemExit("Chromium is missing (on Debian: apt install chromium); or set SOUNDALIKE_CHROMIUM")
    took: dict[str, list[float]] = {
        "page_ms": [],
        "opened_ms": [],
        "pictures_ms": [],
        "first_sound_ms": [],
    }
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.set_default_timeout(LIMIT_MS)
        page.add_init_script(_WATCH)
        page.goto(f"{url}/login")
        page.get_by_label("Name").fill(name)
        page.get_by_label("Password").fill(password)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url("**/queue")
        links = [str(a.get_attribute("href")) for a in page.locator("tr[data-case] td.what a").all()]
        for link in links[:cases]:
            _listen(page, url + link, took)
        browser.close()
    return {
        name: {"median": round(statistics.median(times)), "worst": round(max(times)), "n": len(times)}
        for name, times in took.items()
    }


def _listen(page: Page, address: str, took: dict[str, list[float]]) -> None:
    page.goto(address, wait_until="commit")
    page.wait_for_selector("html[data-ready]", state="attached")
    _until_drawn(page)
    times = page.evaluate(_TIMES)
    took["page_ms"].append(times["page_ms"])
    # A case is open when it stands on the screen and answers to keys.
    took["opened_ms"].append(max(times["painted_ms"], times["ready_ms"]))
    took["pictures_ms"].append(times["pictures_ms"])
    took["first_sound_ms"].append(page.evaluate(_FIRST_SOUND))
    page.wait_for_timeout(300)
    page.keyboard.press(" ")


def _until_drawn(page: Page) -> None:
    """Polled from outside: the page's policy forbids the eval that waiting inside would need."""
    drawn = "image => image.complete && image.naturalWidth > 9"
    while not all(image.evaluate(drawn) for image in page.locator(".spectrum img").all()):
        page.wait_for_timeout(10)
