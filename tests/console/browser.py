"""A real browser, which says what went wrong in it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

PROGRAM = "/usr/bin/chromium"
PROGRAMS = {"chromium": "chromium"}
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
NARROW, WIDE = {"width": 390, "height": 844}, {"width": 1440, "height": 900}

# Colours may still be on their way; what turns for ever is left alone.
SETTLED = """() => Promise.all(document.getAnimations()
  .filter((one) => one.effect.getComputedTiming().endTime !== Infinity)
  .map((one) => one.finished.catch(() => 0)))"""

# WCAG 2: the contrast of each text with what is behind it; those below what level AA asks for.
TOO_PALE = """() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgba = (colour) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255]; };
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3]));
  const behind = (element) => { const layers = [];
    for (let e = element; e; e = e.parentElement) layers.push(rgba(getComputedStyle(e).backgroundColor));
    return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255]); };
  const linear = (c) => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const light = (rgb) => { const [r, g, b] = rgb.map((c) => linear(c / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const pale = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode.textContent.trim(), element = walker.currentNode.parentElement;
    if (!text || !element.checkVisibility({checkOpacity: true, checkVisibilityCSS: true})) continue;
    if (element.closest('.material-symbols-outlined, script, style, option, [aria-hidden=true], [disabled]')) continue;
    const style = getComputedStyle(element), back = behind(element);
    const [a, b] = [light(over(rgba(style.color), back)), light(back)].sort((x, y) => y - x);
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.6 && style.fontWeight >= 700);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < (large ? 3 : 4.5)) pale.push(`${text.slice(0, 40)}: ${ratio.toFixed(2)}`);
  }
  return pale;
}"""


class Watched:
    """A page of one browser's session, and what it complained about."""

    def __init__(self, browser: Browser, home: str, pictures: Path) -> None:
        self.home, self.pictures = home, pictures
        self.complaints: list[str] = []
        self.page: Page = browser.new_context(viewport=WIDE).new_page()
        self.page.set_default_timeout(10_000)
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", self._asked)

    def _heard(self, message) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(message.text)

    def _asked(self, request) -> None:
        if not request.url.startswith((self.home, "data:")):
            self.complaints.append(f"a request to {request.url}")

    def look(self, name: str) -> None:
        """In light and dark, narrow and wide: nothing is cut off, nothing too pale to be read."""
        for scheme in ("light", "dark"):
            # As the theme's own switch does it; a form that was sent cannot be loaded anew.
            self.page.evaluate("(dark) => document.documentElement.classList.toggle('dark', dark)", scheme == "dark")
            for width, size in (("narrow", NARROW), ("wide", WIDE)):
                self.page.set_viewport_size(size)
                # Colours may still be on their way.
                self.page.evaluate(SETTLED)
                where = f"{name}-{scheme}-{width}"
                self.page.screenshot(path=self.pictures / f"{where}.png", full_page=True)
                assert self.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{where} is cut off"
                pale = self.page.evaluate(TOO_PALE)
                assert not pale, f"{where} can hardly be read: {pale}"
        self.page.evaluate("document.documentElement.classList.remove('dark')")


@contextmanager
def started() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=PROGRAM, args=QUIET)
        yield browser
        browser.close()


def folder(default: Path) -> Path:
    """Where pictures go: BASEKV_SCREENSHOTS, to keep them after a run."""
    chosen = Path(os.environ.get("BASEKV_SCREENSHOTS") or default)
    chosen.mkdir(parents=True, exist_ok=True)
    return chosen
