"""Windows of long contexts, answers in them, and the best span over all of them."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_tasks import answering, questions, write_questions
from torch import Tensor

from laws import Case, largest_difference
from oracles import statistics as oracle
from speu_cli.data.answers import Answers
from speu_cli.data.columns import DataChoice
from speu_cli.data.examples import Examples
from speu_cli.data.sources.load import load_examples
from speu_cli.errors import InputError
from speu_cli.progress import Silent
from speu_cli.statistics.collector import collect
from speu_cli.statistics.example_rows import example_rows
from speu_cli.statistics.wanted import Wanted, wanted_parameters
from speu_cli.structures.layout import find_layout
from speu_cli.tasks.base import logits_of
from speu_cli.tasks.best_span import LONGEST_ANSWER, best_span
from speu_cli.tasks.encoding import Encoded, encode
from speu_cli.tasks.outcomes import outcomes, several_losses
from speu_cli.tasks.question_answering import QuestionAnswering
from speu_cli.tasks.windows import ABSENT, Question, answer_position
from tiny import tiny_tokenizer, write_rows

ASKED = DataChoice(task="question-answering")
LENGTH, STRIDE = 16, 4


def read(folder: Path, rows: list[dict[str, Any]]) -> Examples:
    return load_examples(str(write_rows(folder / "rows.jsonl", rows)), ASKED)


def encoded_of(
    examples: Examples, length: int = LENGTH, stride: int = STRIDE, family: str = "bert"
) -> Encoded:
    model = answering(family)
    return encode(examples, tiny_tokenizer(family), QuestionAnswering(), model, length, stride)


@pytest.fixture(params=["bert", "roberta", "llama"])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    """Examples of one to several windows each."""
    model = answering(request.param).double()
    examples = load_examples(write_questions(tmp_path / "q.jsonl", 12), ASKED)
    encoded = encoded_of(examples, family=request.param)
    assert encoded.windows is not None
    assert len(set(encoded.windows)) > 2
    return Case(model, find_layout(model), QuestionAnswering(), encoded)


def test_windows_cover_the_context_and_share_the_stride(tmp_path: Path) -> None:
    words = [f"word{number}" for number in range(30)]
    row = questions(1)[0] | {"question": "word40", "context": " ".join(words)}
    row["answers"] = {"text": ["word12"], "answer_start": [row["context"].index("word12 ")]}
    encoded = encoded_of(read(tmp_path, [row]))
    of_context = [
        tiny_tokenizer("bert").convert_ids_to_tokens(window["input_ids"])[3:-1] for window in encoded.rows
    ]
    assert [window[0] for window in of_context] == ["word0", "word8", "word16", "word24"]
    assert all(one[-STRIDE:] == other[:STRIDE] for one, other in pairwise(of_context))
    assert sorted({word for window in of_context for word in window}) == sorted(words)
    assert encoded.labels.tolist() == [[[0, 0], [3 + 4, 3 + 4], [0, 0], [0, 0]]]
    assert encoded.lengths == [4 * LENGTH]


def test_a_window_that_cuts_the_answer_says_that_it_has_none(tmp_path: Path) -> None:
    words = [f"word{number}" for number in range(20)]
    row = questions(1)[0] | {"question": "word40", "context": " ".join(words)}
    row["answers"] = {"text": ["word11 word12"], "answer_start": [row["context"].index("word11 ")]}
    assert encoded_of(read(tmp_path, [row])).labels.tolist() == [[[0, 0], [6, 7]]]


def test_only_the_first_answer_is_learnt() -> None:
    offsets = [None, (0, 2), (3, 5), (6, 8), None]
    assert answer_position(offsets, Answers(("de", "ab"), (3, 0))) == (2, 2)
    assert answer_position(offsets, Answers(("de fg",), (3,))) == (2, 3)
    assert answer_position(offsets, Answers(("e",), (4,))) == (2, 2)  # a part of a token
    assert answer_position(offsets, Answers((), ())) == (0, 0)
    assert answer_position(offsets, Answers(("x",), (9,))) == (0, 0)


def test_statistics_are_of_the_sum_over_windows(case: Case) -> None:
    everything = wanted_parameters(case.model, case.layout, "all")
    expected = oracle.statistics(case.model, case.layout, case.task, case.encoded, everything)
    for tokens in (1, 60, 5000):
        collected = collect(
            case.model,
            case.layout,
            case.task,
            case.encoded,
            batch_tokens=tokens,
            wanted=Wanted(dict.fromkeys(everything)),
        )
        assert largest_difference(collected.statistics, expected) < 1e-10


def test_losses_do_not_depend_on_the_batch(case: Case) -> None:
    alone = [float(oracle.example_loss(case.model, case.task, case.encoded, i)) for i in range(12)]
    for tokens in (1, 5000):
        found = outcomes(case.model, case.task, case.encoded, batch_tokens=tokens)
        assert found.losses.tolist() == pytest.approx(alone, rel=1e-10)


def test_two_windows_with_opposite_gradients_cancel_before_they_are_squared() -> None:
    """Law 3 holds between examples, not between the windows of one."""
    logits = torch.zeros(2, 3, 2, dtype=torch.float64, requires_grad=True)
    task, labels = QuestionAnswering(), torch.tensor([[[1, 1], [2, 2]]])
    (gradient,) = torch.autograd.grad(task.losses(logits, labels).sum(), logits)
    of_shared_bias = gradient.sum(0)
    assert torch.allclose(of_shared_bias[1:], torch.full((2, 2), -1 / 6, dtype=torch.float64))
    absent = torch.tensor([[[1, 1], [ABSENT, ABSENT]]])
    (gradient,) = torch.autograd.grad(task.losses(logits, absent).sum(), logits)
    assert gradient[1].abs().max() == 0


def test_size_times_loss_is_the_log_likelihood(case: Case) -> None:
    inputs, labels = case.encoded.collate(range(12))
    logits = logits_of(case.model, inputs)
    likelihood = torch.zeros(12, dtype=torch.float64)
    for i, of_example in enumerate(logits.unflatten(0, labels.shape[:2])):
        for window, label in zip(of_example, labels[i], strict=True):
            if label[0] != ABSENT:
                likelihood[i] += window.log_softmax(0)[label, [0, 1]].sum()
    losses, sizes = case.task.losses(logits, labels), case.task.sizes(labels)
    assert torch.allclose(-losses * sizes, likelihood)
    windows = torch.tensor(case.encoded.windows)
    assert torch.allclose(case.task.confidences(logits, labels), (likelihood / 2 / windows).exp())


def test_the_best_span_is_the_best_of_all_windows() -> None:
    """Against a loop over every window, start and end."""
    draw = torch.Generator().manual_seed(0)
    context = " ".join(f"w{number:03}" for number in range(100))
    spans = [(5 * number, 5 * number + 4) for number in range(100)]
    offsets = tuple((None, None, *spans[first : first + 60], None) for first in (0, 40))
    for _ in range(20):
        logits = torch.randn(2, 63, 2, generator=draw, dtype=torch.float64)
        question = Question(context, (), True, offsets)
        best, answer = -torch.inf, ""
        for window, of_window in zip(logits, offsets, strict=True):
            for start, end in ((i, j) for i in range(63) for j in range(i, min(63, i + LONGEST_ANSWER))):
                one, other = of_window[start], of_window[end]
                if one and other and float(window[start, 0] + window[end, 1]) > best:
                    best, answer = float(window[start, 0] + window[end, 1]), context[one[0] : other[1]]
        found = best_span(logits, question)
        assert found.text == answer
        null = min(float(window[0, 0] + window[0, 1]) for window in logits)
        assert found.margin == pytest.approx(null - best)


def told(*margins: float, lacks: bool) -> dict[str, Tensor]:
    """One window of two words for each margin, the answer being the first; the model says the first."""
    logits = torch.zeros(len(margins), 4, 2)
    logits[:, 1] = 5
    logits[:, 0, 0] = torch.tensor([10 + margin for margin in margins])
    logits[:, 2:] = -9
    question = Question("one two", ("one",), lacks, ((None, (0, 3), (4, 7), None),))
    labels = torch.ones(len(margins), 1, 2, dtype=torch.int64)
    return QuestionAnswering().answers(logits, labels, [question] * len(margins))


def test_no_answer_is_said_where_the_data_has_such_questions() -> None:
    found = told(-1, 1, lacks=True)
    assert (found["exact"].tolist(), found["f1"].tolist()) == ([1, 0], [1, 0])
    assert (found["span_exact"].tolist(), found["margin"].tolist()) == ([1, 1], [-1, 1])
    assert found["answerable"].tolist() == [1, 1]
    found = told(-1, 1, lacks=False)
    assert (found["exact"].tolist(), found.keys()) == ([1, 1], {"exact", "f1"})


def test_questions_with_an_answer_and_without_are_two_strata(tmp_path: Path) -> None:
    rows = questions(6)
    answered = [int(bool(row["answers"]["text"])) for row in rows]
    assert set(answered) == {0, 1}
    assert QuestionAnswering().strata(encoded_of(read(tmp_path, rows))).tolist() == answered


def test_answers_that_are_not_in_their_context_are_refused_by_id(tmp_path: Path) -> None:
    rows = questions(6, unanswerable=False)
    rows[1]["answers"]["answer_start"] = [rows[1]["answers"]["answer_start"][0] + 1]
    rows[4]["answers"]["text"] = ["elsewhere"]
    with pytest.raises(InputError, match=r"2 of 6 examples have an answer that is not .* 'q-0-1', 'q-0-4'"):
        encoded_of(read(tmp_path, rows))


def test_a_question_that_leaves_no_room_is_refused_by_id(tmp_path: Path) -> None:
    rows = questions(3)
    rows[2]["question"] = " ".join(["word1"] * 9)  # 16 less 3 special ones, less 9, less 4 that are shared
    with pytest.raises(InputError, match=r"1 of 3 examples have a question so long .* 'q-0-2'"):
        encoded_of(read(tmp_path, rows))
    assert len(encoded_of(read(tmp_path, rows), stride=3)) == 3


def test_whether_questions_may_lack_an_answer_is_said_by_the_whole_set(tmp_path: Path) -> None:
    some = read(tmp_path, questions(6))
    answered = some.select(["q-0-0", "q-0-1"])
    assert answered.some_unanswerable
    assert encoded_of(answered).references[0].may_lack_answer  # type: ignore[attr-defined]
    assert not read(tmp_path, questions(6, unanswerable=False)).some_unanswerable


def test_the_loss_is_the_mean_of_its_terms(case: Case) -> None:
    """Each a cross-entropy over the tokens that are there, window by window."""
    wanted = case.task.terms
    found = several_losses(case.model, [case.task, *wanted], case.encoded, 100, Silent(), "")
    assert np.allclose(found[:, 1:].mean(1), found[:, 0], rtol=1e-9)
    for position in range(4):
        inputs, labels = case.encoded.collate([position])
        with torch.no_grad():
            logits = logits_of(case.model, inputs)
        for place in range(2):
            of_windows = [
                -float(window[:, place].log_softmax(0)[label[place]])
                for window, label in zip(logits, labels[0], strict=True)
            ]
            assert np.isclose(found[position, 1 + place], sum(of_windows), rtol=1e-9)


@pytest.mark.parametrize("place", [0, 1])
def test_a_term_has_gradients_of_its_own(place: int, case: Case) -> None:
    term = case.task.terms[place]
    parts = wanted_parameters(case.model, case.layout, "structures")
    found = example_rows(case.model, case.layout, term, case.encoded, parts, batch_tokens=100)
    expected = oracle.example_gradients(case.model, case.layout, term, case.encoded)
    for position, (gradients, _) in enumerate(expected):
        for name in parts:
            row = found.gradients[name][position]
            assert torch.allclose(row, gradients[name].flatten(), rtol=1e-9, atol=1e-14), name
