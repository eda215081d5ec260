"""What a step of training costs with a mask, against the same step on all parameters.

Gradient difference with AdamW on BERT-base with random weights. The two are run in turn, pair by pair, in one
process, so that a ratio holds on a machine whose speed drifts.
Usage: ``OMP_NUM_THREADS=1 python benchmarks/masked_training.py --pairs 7 [-o results/FILE.json]``
"""

import argparse
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from clock import spread, timed
from figures import report
from subjects import Inputs, RandomEncoder, Subject
from torch import Tensor, nn

from speu_cli.structures.mask import Mask
from speu_cli.unlearning.objectives.base import Moment, Scored, Set
from speu_cli.unlearning.objectives.difference import GradientDifference
from speu_cli.unlearning.slices import TrainableSlices
from speu_cli.unlearning.training import MAX_GRADIENT_NORM

Batches = dict[Set, tuple[Inputs, Tensor]]


@dataclass
class Side:
    """A model that is trained, whole or in part."""

    subject: Subject
    batches: Batches
    slices: TrainableSlices | None

    def __post_init__(self) -> None:
        trained: nn.Module = self.slices or self.subject.model.requires_grad_(True)
        self.parameters = list(trained.parameters())
        self.optimizer = torch.optim.AdamW(self.parameters, lr=1e-5, weight_decay=0.01, fused=True)

    def step(self) -> None:
        """One step, as the Trainer makes it."""
        with self.slices.attached() if self.slices else nullcontext():
            scored: dict[Set, Scored] = {}
            for name, (inputs, labels) in self.batches.items():
                losses = self.subject.losses(inputs, labels)
                scored[name] = Scored(losses, torch.ones_like(losses))
            GradientDifference().loss(Moment(scored, self.parameters, 0.0)).backward()
        nn.utils.clip_grad_norm_(self.parameters, MAX_GRADIENT_NORM)
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.slices:
            self.slices.write()

    def state_bytes(self) -> int:
        """What the optimiser keeps between steps."""
        return _bytes(value for state in self.optimizer.state.values() for value in state.values())


def main() -> None:
    """Measure, print, and write the figures."""
    arguments = _arguments()
    choice = RandomEncoder(arguments.examples, arguments.tokens, arguments.layers, 2, "cpu")
    full, masked = (make_side(choice, sparsity) for sparsity in (None, arguments.sparsity))
    steps: dict[str, Callable[[], None]] = {"full": full.step, "masked": masked.step}
    for step in steps.values():
        step()  # the optimiser makes its state
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(arguments.pairs):
        for name, step in steps.items():
            times[name].append(timed(step, "cpu")["cpu"])
    ratios = [one / other for one, other in zip(times["masked"], times["full"], strict=True)]
    report(
        {
            "subject": choice.label,
            "sparsity": arguments.sparsity,
            "seconds": {name: spread(values) for name, values in times.items()},
            "time_ratio": spread(ratios),
            "optimizer_bytes": {"full": full.state_bytes(), "masked": masked.state_bytes()},
            "optimizer_ratio": masked.state_bytes() / full.state_bytes(),
            "trained": {name: sum(map(Tensor.numel, side.parameters)) for name, side in _named(full, masked)},
        },
        arguments.output,
    )


def make_side(choice: RandomEncoder, sparsity: float | None) -> Side:
    """The model anew; with a sparsity only the slices of random units are trained."""
    subject, encoded = choice.open()
    half = len(encoded) // 2
    batches: Batches = {
        "forget": subject.collate(encoded, range(half)),
        "remaining": subject.collate(encoded, range(half, len(encoded))),
    }
    if sparsity is None:
        return Side(subject, batches, None)
    torch.manual_seed(1)
    selected = {group.key: torch.rand(group.count) >= sparsity for group in subject.layout}
    return Side(subject, batches, TrainableSlices(subject.model, Mask(subject.layout, selected)))


def _named(full: Side, masked: Side) -> Iterable[tuple[str, Side]]:
    return (("full", full), ("masked", masked))


def _bytes(values: Iterable[Any]) -> int:
    return sum(value.nbytes for value in values if isinstance(value, Tensor))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--examples", type=int, default=16, help="of each of the two sets a step")
    parser.add_argument("--tokens", type=int, default=64, help="of each example")
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--sparsity", type=float, default=0.9)
    parser.add_argument("-o", "--output", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
