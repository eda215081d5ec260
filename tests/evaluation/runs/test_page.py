"""Tables, figures and the page, with names that would do harm."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest
from evaluated import evaluation, run

from reports import HOSTILE, SCRIPT
from speu_cli.errors import InputError
from speu_cli.evaluation.definitions.lookup import DEFINITIONS
from speu_cli.evaluation.report.defined import definitions
from speu_cli.evaluation.report.markup import LONGEST
from speu_cli.evaluation.report.visible import in_markdown, visible
from speu_cli.evaluation.runs.contents import Contents
from speu_cli.evaluation.runs.figures import figures
from speu_cli.evaluation.runs.lineup import ComparedModel, line_up
from speu_cli.evaluation.runs.markdown import markdown
from speu_cli.evaluation.runs.named import require_known, sort, told, value_of
from speu_cli.evaluation.runs.page import page
from speu_cli.evaluation.runs.tables import tables

SIZES = {"forgotten": 12, "remaining": 60, "held out": 60}
NAMES = [*HOSTILE, "$x_1$", "_private", "%s", "a" * 64]


def models(**more: Any) -> list[ComparedModel]:
    each = [
        run(name, evaluation(str(number), unlearning_accuracy=number / 10, **more))
        for number, name in enumerate(NAMES)
    ]
    found = line_up(each).models
    return [
        ComparedModel(**{**vars(model), "seconds": 0.1 + number if model.kind == "run" else None})
        for number, model in enumerate(found)
    ]


def contents(found: list[ComparedModel], *notes: str) -> Contents:
    return Contents(found, tables(found, "accuracy"), SIZES, "accuracy", notes)


class Reader(HTMLParser):
    """Collects tags, attributes and text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def full() -> str:
    found = models()
    return page(contents(found, f"look out for {SCRIPT}"), figures(found, "accuracy"))


def test_names_are_text_and_nothing_else(full: str) -> None:
    reader = Reader()
    reader.feed(full)
    assert {"script", "img", "iframe", "link", "object"} & set(reader.tags) == set()
    assert not [name for name, _ in reader.attributes if name.startswith("on")]
    assert full.isprintable() or not set(full) & {"\x1b", "\x07", "\u202e"}
    for name in NAMES:
        assert visible(name, 80) in reader.text


def test_ids_are_there_once_and_all_references_lead_somewhere(full: str) -> None:
    reader = Reader()
    reader.feed(full)
    ids = [value for name, value in reader.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    labels = {"aria-labelledby", "aria-describedby"}
    named = [word for name, value in reader.attributes if name in labels and value for word in value.split()]
    links = [value for name, value in reader.attributes if name in {"href", "xlink:href", "src"} and value]
    assert all(link.startswith("#") for link in links)
    assert {*named, *(link[1:] for link in links)} <= set(ids)


def test_figures_list_every_model_in_words_and_in_the_legend(full: str) -> None:
    drawn = re.findall(r"<svg.*?</svg>", full, flags=re.DOTALL)
    assert len(drawn) == 2
    for svg in drawn:
        for number in range(1, len(NAMES) + 1):
            assert f">{number}  " in svg
        assert "var(--after)" in svg
        assert not re.findall(r"(?:fill|stroke): #", svg)
    assert "$x_1$" in drawn[0]
    assert "_private" in drawn[0]


def test_times_below_a_second_are_written_out() -> None:
    timed = [replace(model, seconds=0.15 + number / 10) for number, model in enumerate(models())]
    svg = figures(timed, "accuracy")[1].inline()
    assert ">0.2<" in svg
    assert not re.search(r">[0-9]e", svg)


def test_the_retrained_model_stands_at_the_origin() -> None:
    drawing = figures(models(), "accuracy")[0]
    assert "reference 0 and 0" in drawing.description
    assert "lower left" in drawing.description


def test_without_a_retrained_model_scores_are_drawn_and_nothing_is_called_best() -> None:
    found = line_up([run("a", evaluation(references=0))]).models
    (drawing,) = figures(found, "accuracy")
    assert "Without a retrained model" in drawing.description
    assert "no run is said to be the best" in contents(found).closest


def test_the_same_models_give_the_same_bytes(full: str) -> None:
    found = models()
    assert page(contents(found, f"look out for {SCRIPT}"), figures(found, "accuracy")) == full


def test_markdown_escapes_what_would_be_markup() -> None:
    text = markdown(contents(models(), SCRIPT))
    assert "<script" not in text
    assert "[link](" not in text
    assert not {"\x1b", "\u202e"} & set(text)
    rows = [line for line in text.splitlines() if line.startswith("| ") and "reference" in line]
    assert len(rows) == 2
    headers = [line for line in text.splitlines() if line.startswith("| model")]
    assert len(headers) == len(tables(models(), "accuracy"))


COLUMN = re.compile(r'<th scope="col"><a href="#(definition-[^"]+)">')
TARGET = re.compile(r'<dt id="(definition-[^"]+)">')


def test_columns_of_metrics_lead_to_their_definitions(full: str) -> None:
    links, targets = COLUMN.findall(full), TARGET.findall(full)
    assert links == [
        *("definition-unlearning_accuracy", "definition-loss.forget", "definition-membership.auc"),
        *("definition-remaining_accuracy", "definition-remaining_accuracy", "definition-loss.remaining"),
        *("definition-gap.unlearning_accuracy",) * 3,
        *("definition-gap.membership.member_fraction", "definition-gap.average"),
    ]
    assert set(links) == set(targets)
    assert len(targets) == len(set(targets))
    reader = Reader()
    reader.feed(full)
    assert all(DEFINITIONS[name].meaning[1:] in reader.text for name in ("loss.test", "gap.average"))


def test_a_run_that_is_called_as_a_metric_leads_nowhere() -> None:
    found = line_up([run("loss.forget")]).models
    assert 'scope="row"><a' not in page(contents(found), [])


def test_what_has_no_definition_leads_nowhere() -> None:
    found = models()
    some, none = (
        Contents(found, tables(found, "accuracy", metrics), SIZES, "accuracy", [])
        for metrics in (["seconds", "gap.average"], ["seconds"])
    )
    assert list(some.columns["metrics"]) == ["gap.average"]
    assert "Definitions" in page(some, [])
    assert "Definitions" not in page(none, []) + markdown(none)


def test_whether_a_gap_is_noise_leads_to_what_noise_is() -> None:
    found = line_up([run("a", evaluation(references=2))]).models
    assert contents(found).columns["gaps"]["inside noise"].pattern == "noise.average"


def test_markdown_says_each_definition_once_and_whole() -> None:
    text = markdown(contents(models()))
    assert text.count("Mean of all gaps") == 1
    assert all(in_markdown(one.sentence) in text for one in definitions(DEFINITIONS) if one.pattern in text)
    longest = max(len(f"{one.pattern}: {one.sentence}") for one in definitions(DEFINITIONS))
    assert longest <= LONGEST  # of an item


def test_closest_is_the_smallest_average_gap() -> None:
    found = models()
    gaps = {model.name: (model.gaps or {})["gap.average"] for model in found if model.kind == "run"}
    best = min(gaps, key=lambda name: gaps[name])
    assert visible(best, 80) in contents(found).closest


def test_tables_have_what_belongs_together() -> None:
    found = tables(models(), "accuracy")
    assert list(found) == ["efficacy", "fidelity", "gaps", "cost"]
    assert found["gaps"].header == [
        *("model", "unlearning", "remaining", "testing", "member_fraction", "average")
    ]
    assert {len(row) for table in found.values() for row in table.rows} == {4, 6}
    assert [row[0] for row in found["efficacy"].rows][:2] == ["original", "reference"]
    assert "reference" not in [row[0] for row in found["gaps"].rows]


def test_noise_is_a_row_and_a_column() -> None:
    table = tables(line_up([run("a", evaluation(references=2))]).models, "accuracy")["gaps"]
    assert table.header[-1] == "inside noise"
    assert table.rows[-1][0] == "noise of retraining"
    assert {row[-1] for row in table.rows[:-1]} <= {"yes", "no"}


def test_gaps_from_several_retrained_models_name_theirs() -> None:
    other = evaluation("3")
    other["identity"]["weights"]["reference"] = "8" * 64
    table = tables(line_up([run("a"), run("b", other)]).models, "accuracy")["gaps"]
    assert table.header[-1] == "from"
    assert [row[-1] for row in table.rows][-2:] == ["reference of a", "reference of b"]


def test_runs_are_sorted_and_those_without_the_number_come_last() -> None:
    values = [evaluation(str(number), loss__forget=loss) for number, loss in enumerate((2.0, 1.0, 3.0))]
    values[0]["model"]["loss.forget"]["value"] = None
    found = line_up([run(name, one) for name, one in zip("abc", values, strict=True)]).models
    assert [model.name for model in sort(found, "loss.forget")] == ["original", "reference", "b", "c", "a"]
    assert [model.name for model in sort(found, "-loss.forget")][2:] == ["c", "b", "a"]


def test_unknown_metrics_are_refused_with_near_ones() -> None:
    with pytest.raises(InputError, match=r"no model has 'loss\.forgot'.*loss\.forget"):
        require_known(models(), ["gap.average", "seconds", "loss.forgot"])


def test_numbers_by_name() -> None:
    model = models()[-1]
    assert value_of(model, "seconds") == pytest.approx(0.1 + 11)
    assert told(model, "seconds") == "11.1 s"
    assert told(model, "bytes_written") == "5 kB"
    assert told(model, "parameters_changed") == "100"
    assert told(model, "rouge_l.forget") == "not measured"
    assert told(model, "gap.average") == f"{(model.gaps or {})['gap.average']:.2f}"
    assert told(model, "loss.forget").count("[") == 1
