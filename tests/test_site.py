"""The documentation as a site: no broken link, nothing fetched from a host, no page without a place."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from shutil import copytree
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parents[1]
FETCHED = {"src", "srcset", "poster", "data"}  # attributes whose address a browser asks for by itself


class Page(HTMLParser):
    """What a page has anchors for, links to, and fetches."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.anchors.add(value)
            elif name == "href" and value and tag == "a":
                self.links.append(value)
            elif value and (name in FETCHED or (name == "href" and tag == "link")):
                self.fetched.append(value)


def build(source: Path, target: Path) -> subprocess.CompletedProcess[str]:
    """What the Makefile does."""
    strictly = ["--quiet", "--fail-on-warning", "--keep-going", "--nitpicky"]
    folders = ["-c", str(source / "docs"), "-d", str(target / "pages"), str(source), str(target / "site")]
    return subprocess.run(
        [sys.executable, "-m", "sphinx", *strictly, *folders], capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("docs")
    process = build(ROOT, target)
    assert process.returncode == 0, process.stderr
    return target / "site"


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path) for path in site.rglob("*.html")}


def test_links_lead_to_pages_and_anchors_of_the_site(pages: dict[Path, Page]) -> None:
    checked = 0
    for path, page in pages.items():
        for link in page.links:
            address = urlsplit(link)
            if address.scheme or address.netloc:
                continue
            target = (path.parent / unquote(address.path)).resolve() if address.path else path
            assert target.exists(), f"{path.name}: {link}"
            if address.fragment and target in pages:
                assert unquote(address.fragment) in pages[target].anchors, f"{path.name}: {link}"
                checked += 1
    assert checked > 100


def test_nothing_is_fetched_from_a_host(site: Path, pages: dict[Path, Page]) -> None:
    addresses = [address for page in pages.values() for address in page.fetched]
    for path in site.rglob("*.css"):
        addresses += re.findall(r"(?:url\(|@import )[\"']?([^\"')]+)", path.read_text(encoding="utf-8"))
    assert any(urlsplit(address).path.endswith(".css") for address in addresses)
    found = [
        address
        for address in addresses
        if urlsplit(address).scheme not in {"", "data"} or address[:2] == "//"
    ]
    assert found == []


def test_every_page_has_its_place_in_the_navigation(site: Path, pages: dict[Path, Page]) -> None:
    first = site / "docs" / "index.html"
    linked = {(first.parent / urlsplit(link).path).resolve() for link in pages[first].links}
    assert {site / "docs" / f"{page.stem}.html" for page in (ROOT / "docs").glob("*.md")} - {first} <= linked


@pytest.mark.parametrize("link", ["nowhere.md", "method.md#nowhere"])
def test_a_broken_link_fails_the_build(link: str, tmp_path: Path) -> None:
    docs = Path(
        copytree(
            ROOT / "docs", tmp_path / "docs", ignore=lambda _, names: {n for n in names if n.endswith(".md")}
        )
    )
    (docs / "index.md").write_text("# Index\n\n## Part\n\n- [Method](method.md)\n")
    (docs / "method.md").write_text("# Method\n")
    assert build(tmp_path, tmp_path).returncode == 0
    (docs / "method.md").write_text(f"# Method\n\n[broken]({link})\n")
    assert build(tmp_path, tmp_path).returncode == 1
