"""What a pass collects: which parameters, whole or in part, and which statistics of the mask variables."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from speu_cli.statistics.directions import Directions
from speu_cli.structures.entries import Axes
from speu_cli.structures.layout import Layout
from speu_cli.structures.mask import Mask

Scope = Literal["structures", "all"]
# B of a group of more units would take more room than the layer that they are in: float32, 64 MiB here.
MOST_UNITS_FOR_B = 4096
SAMPLE = 1024


@dataclass(frozen=True)
class Part:
    """The entries of a parameter that are wanted: ``indices`` along ``axes``."""

    axes: Axes
    indices: Tensor


@dataclass(frozen=True)
class Wanted:
    """What a pass collects.

    Attributes:
        parameters: By name, the part of each parameter that F and g are wanted of; None = all of it.
        mask_statistics: Whether u and B are wanted.
        sampled: Keys of the examples whose mask gradients stand for B in groups of many units, int64.
        most_units: Largest group that B is kept of.
        directions: Which directions are summed, of the same parts of the parameters; None: none.
        directed: Keys of the examples that they are summed over, int64.
    """

    parameters: Mapping[str, Part | None]
    mask_statistics: bool = True
    sampled: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))
    most_units: int = MOST_UNITS_FOR_B
    directions: Directions | None = None
    directed: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))

    def is_sampled(self, units: int) -> bool:
        """Whether a group of so many units has a sample in place of B."""
        return units > self.most_units


def wanted_parameters(model: nn.Module, layout: Layout, scope: Scope) -> dict[str, Part | None]:
    """The parameters of a scope: those that heads and filters own parts of, or all; each once if tied."""
    names = layout.parameters if scope == "structures" else dict(model.named_parameters())
    return dict.fromkeys(names)


def wanted_slices(mask: Mask) -> dict[str, Part | None]:
    """The parts of parameters that a mask lets change."""
    return {name: Part(axes, indices) for name, axes, indices in mask.slices()}
