"""Margins as functions of losses."""

import numpy as np
import pytest
import torch
from scipy.special import expit
from torch.nn import functional
from transformers import BertConfig, LlamaConfig

from speu_cli.tasks.margins import Closeness, LogOdds, LogOddsOfTokens, Margins

LOSSES = np.array([2e-6, 1e-3, 0.1, 0.69, 3.0, 40.0, 900.0])


def test_of_a_class_it_is_the_true_logit_less_the_others() -> None:
    logits = torch.randn(50, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 3
    labels = torch.arange(50) % 4
    losses = functional.cross_entropy(logits, labels, reduction="none").numpy()
    true = logits.gather(1, labels[:, None])[:, 0]
    others = logits.scatter(1, labels[:, None], -torch.inf).logsumexp(1)
    assert np.allclose(LogOdds().of(losses), (true - others).numpy(), atol=1e-8)


def test_it_is_the_log_odds_of_the_likelihood() -> None:
    assert np.allclose(expit(LogOdds().of(LOSSES[:5])), np.exp(-LOSSES[:5]))
    assert np.allclose(LogOdds().of(LOSSES[5:]), -LOSSES[5:])  # without overflow


def test_of_a_squared_error_it_is_the_distance() -> None:
    assert np.allclose(Closeness().of(np.array([0.0, 4.0])), [0.0, -2.0])


@pytest.mark.parametrize("margins", [LogOdds(), Closeness()])
def test_losses_are_those_of_the_margins(margins: Margins) -> None:
    assert np.allclose(margins.losses(margins.of(LOSSES)), LOSSES, rtol=1e-9)


@pytest.mark.parametrize("margins", [LogOdds(), Closeness()])
def test_slopes_are_derivatives(margins: Margins) -> None:
    step = LOSSES * 1e-6
    numeric = (margins.of(LOSSES + step) - margins.of(LOSSES - step)) / (2 * step)
    assert np.allclose(margins.slopes(LOSSES), numeric, rtol=1e-5)
    assert (margins.slopes(LOSSES) < 0).all()


@pytest.mark.parametrize("margins", [LogOdds(), Closeness()])
def test_a_loss_of_zero_is_finite(margins: Margins) -> None:
    assert np.isfinite(margins.of(np.zeros(1))).all()
    assert np.isfinite(margins.slopes(np.zeros(1))).all()


def test_no_target_of_tokens_is_worse_than_a_guess() -> None:
    guess = LogOddsOfTokens().lowest(LlamaConfig(vocab_size=4096))
    assert expit(guess) == pytest.approx(1 / 4096)
    assert LogOdds().lowest(BertConfig(vocab_size=4096)) == -6.0
