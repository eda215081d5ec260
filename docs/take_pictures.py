"""Take the pictures of the pages: of a report of ``speu eval`` with attacks, and of ``speu compare``.

Usage: ``python docs/take_pictures.py report.html comparison.html``, with Chromium installed; docs/report.md
and docs/compare.md say how the two pages are made. Writes into docs/pictures/.
"""

import io
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

PICTURES = Path(__file__).parent / "pictures"
WIDE, NARROW, TALL = 1100, 390, 844  # pixels of a window and of a phone
GAP = 20


def main(report: Path, comparison: Path) -> None:
    """Take all pictures of two pages."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        # Its sandbox cannot start as root in a container; the pages run no script.
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = _open(browser, report, WIDE, "light")
        upper = _part(page, 0, _top(page, "#metrics h3:nth-of-type(3)"))
        lower = _part(page, _top(page, "#comes-back"), _top(page, "#mask"))
        _save("report-light", _joined([upper, lower], beside=False))
        page = _open(browser, report, NARROW, "dark")
        tops = [_top(page, one) for one in ("#summary h2", "#comes-back figure", "#definitions h2")]
        _save("report-dark-phone", _joined([_part(page, top, top + TALL) for top in tops], beside=True))
        page = _open(browser, comparison, WIDE, "light")
        _save("compare", _part(page, 0, page.evaluate("document.documentElement.scrollHeight")))
        browser.close()


def _open(browser: Browser, path: Path, width: int, scheme: Literal["light", "dark"]) -> Page:
    page = browser.new_page(viewport={"width": width, "height": TALL}, color_scheme=scheme)
    page.goto(path.resolve().as_uri())
    return page


def _top(page: Page, selector: str) -> float:
    box = page.locator(selector).first.bounding_box()
    if box is None:
        sys.exit(f"there is no {selector}: take a report of speu eval --relearn")
    return box["y"]


def _part(page: Page, top: float, bottom: float) -> Image.Image:
    width = page.evaluate("document.documentElement.clientWidth")
    shot = page.screenshot(full_page=True, clip={"x": 0, "y": top, "width": width, "height": bottom - top})
    return Image.open(io.BytesIO(shot))


def _joined(parts: Sequence[Image.Image], *, beside: bool) -> Image.Image:
    """Parts beside or below each other."""
    widths, heights = zip(*(part.size for part in parts), strict=True)
    between = GAP * (len(parts) - 1)
    size = (sum(widths) + between, max(heights)) if beside else (max(widths), sum(heights) + between)
    whole = Image.new("RGB", size, "white")
    x = y = 0
    for part in parts:
        whole.paste(part, (x, y))
        x, y = (x + part.width + GAP, 0) if beside else (0, y + part.height + GAP)
    return whole


def _save(name: str, picture: Image.Image) -> None:
    path = PICTURES / f"{name}.png"
    # A third of the size. The usual palette would lose the colours of thin lines, which cover few pixels.
    small = picture.convert("RGB").quantize(method=Image.Quantize.MAXCOVERAGE)
    small.save(path, optimize=True)
    print(f"{path.name} {picture.width} x {picture.height}, {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
