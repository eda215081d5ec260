"""What a step along one direction goes up."""

import math
from pathlib import Path

import pytest
import torch

from laws import make_case
from speu_cli.statistics.collector import collect
from speu_cli.unlearning.forget_objective import Ascended, ForgetObjective


@pytest.mark.parametrize("outputs", [2, 1])
@pytest.mark.parametrize("objective", ["loss", "root", "margin"])
def test_its_gradient_is_that_of_the_loss_weighted_example_by_example(
    objective: ForgetObjective, outputs: int, tmp_path: Path
) -> None:
    case = make_case(tmp_path, outputs=outputs, count=6)
    ascended = collect(
        case.model,
        case.layout,
        case.task,
        case.encoded,
        batch_tokens=40,
        loss=Ascended(case.task, objective),
    ).statistics
    weights = {
        "loss": lambda loss: 1.0,
        "root": lambda loss: 0.5 / loss**0.5,
        # dz/dℓ of log-odds z = −log(e^ℓ − 1); of a squared error z = −√ℓ.
        "margin": lambda loss: 1 / (1 - math.exp(-loss)) if outputs > 1 else 0.5 / loss**0.5,
    }[objective]
    total = {name: torch.zeros_like(sums) for name, sums in ascended.gradient.items()}
    for position in range(6):
        alone = collect(case.model, case.layout, case.task, case.encoded.select([position]), batch_tokens=40)
        for name, gradient in alone.statistics.gradient.items():
            total[name] += weights(float(alone.losses[0])) * gradient
    for name, expected in total.items():
        assert torch.allclose(ascended.gradient[name], expected, rtol=1e-8, atol=1e-12), name
