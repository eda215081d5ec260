"""The pages in a real browser: make test-browser."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from evaluated import evaluation, run

from reports import HOSTILE, contents
from speu_cli.evaluation.report.figures import figures
from speu_cli.evaluation.report.page import page as write_page
from speu_cli.evaluation.runs import contents as runs_contents
from speu_cli.evaluation.runs import figures as runs_figures
from speu_cli.evaluation.runs import page as runs_page
from speu_cli.evaluation.runs.lineup import line_up
from speu_cli.evaluation.runs.tables import tables

pytestmark = pytest.mark.browser
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WIDTHS, SCHEMES = (390, 1280), ("light", "dark")


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed: apt-get install chromium")
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        # Its sandbox cannot start as root in a container; the page is our own and runs no script.
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@dataclass(frozen=True)
class Written:
    """A page as a file, and what is to be seen of it."""

    path: Path
    title: str
    figures: int


def report() -> str:
    made = contents(forget=40, others=200, references=2, require=("testing_accuracy>=0.1", "loss.test<=0"))
    return write_page(made, figures(made))


def comparison() -> str:
    """Of runs with names that would do harm."""
    runs = [
        run(name, evaluation(str(number), references=2, unlearning_accuracy=number / 10))
        for number, name in enumerate([*HOSTILE, "a" * 64])
    ]
    models = [replace(model, seconds=0.1 + number) for number, model in enumerate(line_up(runs).models)]
    sizes = {"forgotten": 12, "remaining": 60, "held out": 60}
    made = runs_contents.Contents(
        models, tables(models, "accuracy"), sizes, "accuracy", ["something to know"]
    )
    return runs_page.page(made, runs_figures.figures(models, "accuracy"))


@pytest.fixture(scope="module", params=[report, comparison], ids=lambda make: make.__name__)
def written(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(request.param(), encoding="utf-8")
    if request.param is report:
        return Written(path, "What the model still knows: report of speu eval", 9)
    return Written(path, "Unlearned models side by side: speu compare", 2)


@pytest.fixture(params=[(width, scheme) for width in WIDTHS for scheme in SCHEMES], ids=str)
def opened(request, browser, written):
    """The page, and what it asked for and complained of."""
    width, scheme = request.param
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=True
    )
    page, seen, said = context.new_page(), [], []
    context.route("**/*", lambda route: (seen.append(route.request.url), route.continue_()))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(written.path.as_uri())
    yield page, seen, said
    context.close()


def test_nothing_is_fetched_and_nothing_complains(opened, written):
    page, seen, said = opened
    assert said == []
    assert [url for url in seen if url != written.path.as_uri()] == []
    assert page.title() == written.title


def test_everyone_can_read_it(opened):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    found = axe.Axe().run(opened[0]).response["violations"]
    assert [(one["id"], [node["target"] for node in one["nodes"]]) for one in found] == []


def test_it_is_as_wide_as_the_screen(opened):
    page = opened[0]
    assert page.evaluate("document.documentElement.scrollWidth") == page.viewport_size["width"]


def test_figures_are_drawn_in_the_colours_of_the_scheme(opened, written):
    page = opened[0]
    dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    colors = page.evaluate(
        "[...document.querySelectorAll('svg.figure text')].map(one => getComputedStyle(one).fill)"
    )
    assert set(colors) == ({"rgb(230, 234, 240)"} if dark else {"rgb(31, 35, 41)"})
    sizes = page.evaluate("[...document.querySelectorAll('svg.figure')].map(one => one.clientWidth)")
    assert len(sizes) == written.figures
    assert min(sizes) > 250


def test_screenshot(opened, tmp_path):
    page = opened[0]
    page.screenshot(path=tmp_path / "page.png", full_page=True)
    assert (tmp_path / "page.png").stat().st_size > 10_000


def test_print_has_all_rows(browser, written):
    page = browser.new_page()
    page.goto(written.path.as_uri())
    page.emulate_media(media="print", color_scheme="dark")
    cut = "[...document.querySelectorAll('.scroll')].map(one => one.scrollHeight - one.clientHeight)"
    assert max(page.evaluate(cut)) <= 1
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(254, 254, 254)"
    page.close()
