"""Exact match and F1 as the evaluation scripts of SQuAD have them, on cases worked out by hand."""

import pytest

from speu_cli.tasks.span_scores import best_of, exact, f1, normalised


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The Cat", "cat"),
        ("an  apple\ta day", "apple day"),
        ("a theatre, another Anthem", "theatre another anthem"),  # articles are whole words
        ("U.S.-based (1990s)", "usbased 1990s"),
        ("the a an", ""),
        ("“quoted” – dash", "“quoted” – dash"),  # ASCII punctuation alone
        ("ÉCOLE", "école"),
        ("a-b", "ab"),  # punctuation goes before articles
        (" the\n\nend ", "end"),
    ],
)
def test_normalisation(text: str, expected: str) -> None:
    assert normalised(text) == expected


@pytest.mark.parametrize(
    ("answer", "gold", "expected_exact", "expected_f1"),
    [
        ("the Cat!", "cat", 1, 1),
        ("black cat", "cat", 0, 2 / 3),
        ("cat cat", "cat", 0, 2 / 3),  # each word counts as often as it is there in both
        ("cat dog cat", "cat cat", 0, 0.8),
        ("dog", "cat", 0, 0),
        ("10,000", "10000", 1, 1),
    ],
)
def test_scores(answer: str, gold: str, expected_exact: float, expected_f1: float) -> None:
    assert exact(answer, gold) == expected_exact
    assert f1(answer, gold, may_be_empty=False) == pytest.approx(expected_f1)
    assert f1(answer, gold, may_be_empty=True) == pytest.approx(expected_f1)


def test_the_best_of_several_answers_counts_for_each_score() -> None:
    assert best_of("black cat", ["dog", "cat", "black cat sat"], may_lack_answer=False) == (0, 0.8)


def test_texts_without_words() -> None:
    """Version 2.0 gives them to each other, and drops answers that are nothing but them; version 1.1 not."""
    assert (f1("the", "", may_be_empty=True), f1("the", "", may_be_empty=False)) == (1, 0)
    assert f1("cat", "", may_be_empty=True) == 0
    assert best_of("the", ["the"], may_lack_answer=False) == (1, 0)
    assert best_of("the", ["the", "cat"], may_lack_answer=True) == (0, 0)
    assert best_of("", ["the"], may_lack_answer=True) == (1, 1)


def test_no_answer() -> None:
    assert best_of("", [], may_lack_answer=True) == (1, 1)
    assert best_of("cat", [], may_lack_answer=True) == (0, 0)
    assert best_of("", ["cat"], may_lack_answer=True) == (0, 0)
