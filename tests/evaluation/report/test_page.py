import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from reports import HOSTILE, SCRIPT, contents, outcomes
from speu_cli.evaluation.gates import check, parse
from speu_cli.evaluation.report.attacked import attack_table, of_relearning
from speu_cli.evaluation.report.contents import Known
from speu_cli.evaluation.report.figures import figures
from speu_cli.evaluation.report.markdown import markdown
from speu_cli.evaluation.report.page import page
from speu_cli.evaluation.report.unit_figures import of_mask
from speu_cli.evaluation.report.visible import in_markdown, visible
from speu_cli.evaluation.table import cell

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
    assert len(drawn) == 9
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


def test_attacks_are_shown_beside_the_models_as_they_are():
    made = contents()
    drawings = {drawing.name: drawing for drawing in figures(made)}
    course = made.relearning.curves["model"].points
    for name, words in (("loss", "loss"), ("score", "accuracy")):
        said = drawings[f"relearning-{name}"].description
        first, last = (f"{getattr(point, name).value:.3g}" for point in (course[0], course[-1]))
        assert f"Mean {words} of the forgotten examples" in said
        assert f"model from {first} to {last}" in said
    table = attack_table(made)
    attacks = ["no attack", "weights as int4", "relearning, last step"]
    assert [row[0] for row in table.rows] == [
        f"{title}: {attack}" for title in ("accuracy", "loss") for attack in attacks
    ]
    assert table.header == ["measured", "original", "model", "reference 1"]
    assert table.rows[3][-1] == cell("loss.forget", made.metrics["reference 1"]["loss.forget"])
    name = "attack.relearn.loss.forget"
    assert table.rows[5][-2] == cell(name, made.metrics["model"][name])
    assert "trained on 4 of the forgotten examples, measured on the other 8" in table.note
    assert "Does it come back?" in read(written(made)).text
    assert "## Attacks" in markdown(made)


def test_long_names_break_between_words_and_numbers_stay_with_their_sign(full):
    assert "membership.<wbr>member_<wbr>fraction</a>" in full
    assert "{remaining,<wbr>testing}_<wbr>accuracy" in full
    assert re.search(r"<td>[0-9.]+\u00a0% \[", full)
    assert not re.search(r"<td>[0-9.]+ %", full)


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        (
            [[0, 1, 1], [0, 0, 1]],
            "3 of 6 attention heads could change: of layer 0 number 1, 2; layer 1 number 2.",
        ),
        ([[0, 0, 0]], "0 of 3 attention heads could change."),
    ],
)
def test_which_heads_could_change_is_said(chosen, said):
    flags = {f"heads/{layer}": np.array(one, dtype=bool) for layer, one in enumerate(chosen)}
    assert next(of_mask(flags)).description == said


def test_without_attacks_there_is_no_word_of_them():
    made = contents(attacked=False)
    assert attack_table(made) is None
    assert "come back" not in read(written(made)).text
    assert "## Attacks" not in markdown(made)


def test_a_level_that_is_not_known_is_not_drawn():
    made = contents()
    unknown = replace(made.relearning, level=float("nan"))
    svgs = [next(of_relearning(one)).svg() for one in (made.relearning, unknown)]
    assert [b"half is back" in svg for svg in svgs] == [True, False]


def test_metrics_lead_to_their_definitions(full):
    made = contents()
    links = re.findall(r'<th scope="row"><a href="#(definition-[a-z0-9_.]+)">', full)
    targets = re.findall(r'<dt id="(definition-[a-z0-9_.]+)">', full)
    assert len(links) == len(made.definitions) > 10
    assert set(links) == set(targets)
    assert len(targets) == len(set(targets))
    text = read(full).text
    assert all(one.meaning[1:].rstrip(".") in text for one in made.definitions.values())


def test_why_a_gate_is_required_stands_beside_its_outcome_as_text():
    gate = parse("testing_accuracy>=0.1", why=f"the service needs it {SCRIPT}")
    made = replace(contents(), gates=check([gate], contents().metrics["model"]))
    assert f"(the service needs it {SCRIPT})" in read(written(made)).text
    assert in_markdown(gate.why) in markdown(made)
