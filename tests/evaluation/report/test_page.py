import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from reports import HOSTILE, SCRIPT, contents, outcomes
from speu_cli.evaluation.report.contents import Known
from speu_cli.evaluation.report.figures import figures
from speu_cli.evaluation.report.markdown import markdown
from speu_cli.evaluation.report.page import page
from speu_cli.evaluation.report.visible import in_markdown, visible

MEGABYTE = 1_000_000


class Reader(HTMLParser):
    """Collects tags, attributes and text."""

    def __init__(self):
        super().__init__()
        self.tags, self.attributes, self.text = [], [], ""

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.text += data


def read(html):
    reader = Reader()
    reader.feed(html)
    return reader


def written(made):
    return page(made, figures(made))


@pytest.fixture(scope="module")
def full():
    return written(contents())


def test_what_is_in_the_data_is_text_and_nothing_else(full):
    read_page = read(full)
    assert {"script", "img", "iframe", "link", "object"} & set(read_page.tags) == set()
    assert not [name for name, _ in read_page.attributes if name.startswith("on")]
    assert SCRIPT in read_page.text
    assert "{{ 7 * 7 }}" in read_page.text
    assert "\\x1b[31mred" in read_page.text
    assert "\\u202egnp.exe" in read_page.text
    assert not {"\x1b", "\x07", "\u202e"} & set(full)


def test_nothing_is_fetched(full):
    allowed = {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    links = [
        value for name, value in read(full).attributes if name in {"src", "href", "xlink:href", "action"}
    ]
    assert links
    assert all(link.startswith("#") for link in links)
    in_tags = " ".join(re.findall(r"<[^>]*>", re.sub(r"<style>.*?</style>", "", full, flags=re.DOTALL)))
    assert set(re.findall(r"https?://[^\s\"'<>]+", in_tags)) <= allowed
    assert "@import" not in full
    assert "default-src 'none'" in full


def test_ids_are_there_once_and_all_references_lead_somewhere(full):
    attributes = read(full).attributes
    ids = [value for name, value in attributes if name == "id"]
    assert len(ids) == len(set(ids))
    named = [
        word
        for name, value in attributes
        if name in {"aria-labelledby", "aria-describedby"}
        for word in value.split()
    ]
    named += [value[1:] for name, value in attributes if name in {"href", "xlink:href"}]
    assert set(named) <= set(ids)


def test_figures_have_the_colours_of_the_page(full):
    drawn = re.findall(r"<svg.*?</svg>", full, flags=re.DOTALL)
    assert len(drawn) == 7
    for svg in drawn:
        assert "var(--" in svg
        assert not re.findall(r"(?:fill|stroke): #", svg)


def test_table_headers_have_scopes(full):
    assert full.count("<th ") == full.count("<th scope=")
    assert "<th>" not in full


def test_texts_are_shown_only_when_asked_for():
    assert "text of forget-3" not in written(contents(show_text=False))
    assert "text of forget-3" in written(contents())
    assert "text of forget-3" not in markdown(contents(show_text=False))


def test_a_large_report_stays_small():
    made = contents(forget=1000, others=12_000, references=2)
    assert len(written(made).encode()) < 1.5 * MEGABYTE


def test_more_than_a_thousand_rows_are_said_to_be_left_out():
    text = read(written(contents(forget=1003, others=20))).text
    assert "The other 3 rows, with higher losses, are left out." in text


def test_the_same_evaluation_gives_the_same_bytes():
    assert written(contents()) == written(contents())


def test_what_is_not_known_is_said():
    made = replace(contents(), record=None, known=Known(why_no_mask="No mask.", why_no_movement="No move."))
    text = read(written(made)).text
    for sentence in ("No mask.", "No move.", "how it was made is not recorded"):
        assert sentence in text


def test_outcomes_that_are_not_numbers_are_left_out_of_figures_and_said_in_tables():
    made = contents()
    broken = outcomes(12, 0, 0.5)
    broken.losses[:], broken.confidences[:] = np.nan, np.nan
    made = replace(made, outcomes=made.outcomes | {"model": made.outcomes["model"] | {"forget": broken}})
    assert "not computed" in read(written(made)).text


def test_markdown_escapes_what_would_be_markup():
    text = markdown(contents())
    assert "<script" not in text
    assert "[link](" not in text
    assert not {"\x1b", "\u202e"} & set(text)
    cells = [line.count("|") for line in text.splitlines() if line.startswith("| ") and "confidence" in line]
    rows = [line for line in text.splitlines() if line.startswith("| ") and "text of" in line]
    assert {line.count("|") for line in rows} == set(cells)


@pytest.mark.parametrize("text", HOSTILE)
def test_visible_text_is_one_line_of_what_can_be_seen(text):
    seen = visible(text, 200)
    assert seen.isprintable()
    assert in_markdown(seen).isprintable()


def test_long_text_is_cut():
    assert visible("a" * 50, 10) == "a" * 9 + "…"
    assert visible("a" * 10, 10) == "a" * 10


def test_figures_as_files():
    for drawing in figures(contents(forget=12, others=20)):
        assert drawing.png().startswith(b"\x89PNG")
        assert b"<svg" in drawing.svg()
        assert drawing.description.endswith(".")
