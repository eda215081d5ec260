"""Predicted distributions and their divergence, against SciPy, for every task that has some."""

import numpy as np
import pytest
import torch
from scipy import special, stats

from oracles import evaluation as oracle
from speu_cli.tasks.causal_lm import CausalLanguageModelling
from speu_cli.tasks.classification import Classification
from speu_cli.tasks.distributions import Distributions, Kept, divergences, kept_divergences
from speu_cli.tasks.question_answering import QuestionAnswering
from speu_cli.tasks.regression import Regression

DRAW = np.random.default_rng(0)


def softmax_of(logits: torch.Tensor) -> np.ndarray:
    return special.softmax(logits.double().numpy(), axis=-1)


def test_classes():
    p, q = torch.tensor(DRAW.normal(size=(2, 9, 5)))
    labels = torch.tensor(DRAW.integers(0, 5, 9))
    task = Classification()
    found = divergences(task.distributions(p, labels), task.distributions(q, labels), 9)
    np.testing.assert_allclose(found, stats.entropy(softmax_of(p), softmax_of(q), axis=1), rtol=1e-10)
    rows = zip(softmax_of(p), softmax_of(q), strict=True)
    np.testing.assert_allclose(found, [oracle.kl(a, b) for a, b in rows], rtol=1e-10)


def test_tokens_of_a_language_model():
    """The mean over the labelled tokens, each predicted from those before it."""
    p, q = torch.tensor(DRAW.normal(size=(2, 3, 6, 11)))
    labels = torch.full((3, 6), -100)
    labels[0, 2:5], labels[1, 1:], labels[2, 5] = 3, 4, 0
    task = CausalLanguageModelling()
    found = divergences(task.distributions(p, labels), task.distributions(q, labels), 3)
    each = stats.entropy(softmax_of(p), softmax_of(q), axis=-1)  # [3, 6]
    expected = [each[0, 1:4].mean(), each[1, 0:5].mean(), each[2, 4]]
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_start_and_end_of_an_answer():
    """The mean of start and end over an example's windows; padding is impossible in both."""
    p, q = torch.tensor(DRAW.normal(size=(2, 4, 7, 2)))
    p[1, 5:], q[1, 5:] = -torch.inf, -torch.inf
    labels = torch.zeros(2, 2, 2, dtype=torch.int64)
    labels[1, 1] = -1  # the second example has one window
    task = QuestionAnswering()
    found = divergences(task.distributions(p, labels), task.distributions(q, labels), 2)

    def of(window: int) -> float:
        a, b = softmax_of(p[window].T), softmax_of(q[window].T)
        return (oracle.kl(a[0], b[0]) + oracle.kl(a[1], b[1])) / 2

    np.testing.assert_allclose(found, [(of(0) + of(1)) / 2, of(2)], rtol=1e-10)


def test_a_number_is_no_distribution():
    assert Regression().distributions(torch.zeros(3, 1), torch.zeros(3)) is None


def test_no_divergence_from_itself():
    one = Distributions(torch.arange(4), torch.tensor(DRAW.normal(size=(4, 3))).log_softmax(-1))
    assert divergences(one, one, 4).tolist() == [0.0] * 4


@pytest.mark.parametrize(("room", "expected"), [(10**9, 6), (4 * 30, 3), (0, 1)])
def test_as_many_as_there_is_room_for_and_at_least_one(room, expected):
    """10 tokens each, of 4 bytes a token."""
    chosen = Kept(room).choose([10] * 6, 4)
    assert chosen.sum() == expected
    assert (chosen == Kept(room).choose([10] * 6, 4)).all()


def test_what_was_not_kept_has_no_divergence():
    def kept(seed: int) -> Kept:
        found = Kept()
        rows = torch.tensor(np.random.default_rng(seed).normal(size=(2, 3))).log_softmax(-1)
        found.add([3, 1], Distributions(torch.arange(2), rows))
        return found

    values = kept_divergences(kept(1), kept(2), 5)
    assert np.isnan(values).tolist() == [True, False, True, False, True]
