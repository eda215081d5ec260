"""The second-order step on the selected slices (Eq. 10; Eq. 2 with a mask of ones)."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from speu_cli.statistics.sums import Statistics
from speu_cli.structures.entries import Axes, put, take, taken_shape
from speu_cli.structures.mask import Mask
from speu_cli.unlearning.low_rank import newton_step


@dataclass(frozen=True)
class SliceStep:
    """Δθ/η of one parameter: ``values`` at ``indices`` along ``axes``, nothing elsewhere.

    Of these the ones in ``entries``, bool in the shape of ``values``, where it is not None.
    """

    axes: Axes
    indices: Tensor
    values: Tensor
    entries: Tensor | None = None

    @property
    def size(self) -> int:
        """Number of parameter entries that may change."""
        return self.values.numel() if self.entries is None else int(self.entries.sum())

    def moved(self, slices: Tensor, rate: float) -> Tensor:
        """The parameter's slices after the step; an entry that may not change keeps its very bits."""
        moved = slices + rate * self.values.to(slices)
        return moved if self.entries is None else torch.where(self.entries.to(slices.device), moved, slices)


@dataclass(frozen=True)
class Direction:
    """The direction of an update, by parameter name; parameters outside the mask are not in it."""

    steps: dict[str, SliceStep]

    @property
    def size(self) -> int:
        """Number of parameter entries that may change."""
        return sum(step.size for step in self.steps.values())

    @torch.no_grad()
    def apply(self, model: nn.Module, rate: float) -> None:
        """Move the model along the direction, in place: θ_j += η·d_j on the slices, nothing elsewhere."""
        for name, step in self.steps.items():
            parameter = model.get_parameter(name)
            indices = step.indices.to(parameter.device)
            slices = take(parameter, step.axes, indices)
            put(parameter, step.axes, indices, step.moved(slices, rate))

    @contextmanager
    def applied(self, model: nn.Module, rate: float) -> Iterator[None]:
        """Move the model for a while, and put back the very bits it had."""
        saved = {
            name: take(parameter, step.axes, step.indices.to(parameter.device))
            for name, step in self.steps.items()
            for parameter in [model.get_parameter(name)]
        }
        self.apply(model, rate)
        try:
            yield
        finally:
            with torch.no_grad():
                for name, step in self.steps.items():
                    parameter = model.get_parameter(name)
                    put(parameter, step.axes, step.indices.to(parameter.device), saved[name])


def second_order_direction(
    gradient: Statistics, remaining: Statistics, mask: Mask, *, damping: float, stiffness: float | None = None
) -> Direction:
    """d_j = m_j · g_f[j] / (F_r[j]/n_r + λ), so that Δθ = η·d goes up the forget loss (Eq. 10).

    With a stiffness the curvature has the coherent directions of the remaining set as well, see
    :func:`speu_cli.unlearning.low_rank.newton_step`.

    Args:
        gradient: Statistics of the forget examples that enter the step; only g is used.
        remaining: S(D_r); only F, n_r and directions are used. Both are of whole parameters, or of the mask's
            slices.
        mask: m.
        damping: λ of a parameter tensor, as a multiple of the mean of F_r/n_r: over the whole tensor, or
            over the slices where there is no more. Entries that may not change count in it.
        stiffness: How fast the directions are held, infinity for altogether; None: not at all.

    Returns:
        The direction, on the selected slices, and of these on the mask's entries.
    """
    steps, inverses = {}, {}
    for name, axes, indices in mask.slices():
        damped = damped_curvature(remaining, name, axes, indices, damping=damping)
        g = slices_of(gradient.gradient[name], axes, indices)
        # Where no remaining example has curvature and λ is 0 there is no Newton step to take.
        values = torch.where(damped > 0, g / damped, 0.0)
        steps[name] = SliceStep(axes, indices, values, mask.entries(name))
        if stiffness is not None:
            inverses[name] = _inverse(damped, mask.entries(name))
    direction = Direction(steps)
    return direction if stiffness is None else _held(direction, gradient, remaining, inverses, stiffness)


def _inverse(damped: Tensor, entries: Tensor | None) -> Tensor:
    """Diagonal of P⁻¹ on a parameter's slices, 0 where an entry may not change or has no Newton step."""
    inverse = torch.where(damped > 0, 1 / damped, 0.0)
    return inverse if entries is None else torch.where(entries, inverse, 0.0)


def _held(
    direction: Direction,
    gradient: Statistics,
    remaining: Statistics,
    inverses: dict[str, Tensor],
    stiffness: float,
) -> Direction:
    """The direction that the diagonal alone gives, with the coherent directions held."""
    # What subtraction leaves of a direction that no remaining example has a part in is rounding.
    left = remaining.direction_weights.gt(0).nonzero()[:, 0].tolist()
    g, along = {}, {}
    for name, step in direction.steps.items():
        g[name] = slices_of(gradient.gradient[name], step.axes, step.indices)
        # Sums do for means: the length of a direction does not matter.
        along[name] = [slices_of(remaining.directions[name][k], step.axes, step.indices) for k in left]
    moved = newton_step(g, inverses, along, stiffness)
    return Direction({name: replace(step, values=moved[name]) for name, step in direction.steps.items()})


def damped_curvature(
    remaining: Statistics, name: str, axes: Axes, indices: Tensor, *, damping: float
) -> Tensor:
    """F_r[j]/n_r + λ on the slices of a parameter: the denominator of Eq. 10.

    Args:
        remaining: As of :func:`second_order_direction`.
        name: Of the parameter.
        axes: Of the slices.
        indices: Likewise.
        damping: As of :func:`second_order_direction`.

    Returns:
        Shaped like the slices.
    """
    curvature = remaining.fisher[name] / remaining.count
    return slices_of(curvature, axes, indices) + damping * curvature.mean()


def inverse_curvature(remaining: Statistics, mask: Mask, *, damping: float) -> dict[str, Tensor]:
    """1 / (F_r[j]/n_r + λ) by parameter, on the mask's slices; 0 of what has no curvature or may not change.

    Args:
        remaining: As of :func:`second_order_direction`.
        mask: m.
        damping: As of :func:`second_order_direction`.

    Returns:
        Shaped like the slices.
    """
    inverse = {}
    for name, axes, indices in mask.slices():
        damped = damped_curvature(remaining, name, axes, indices, damping=damping)
        inverse[name] = _inverse(damped, mask.entries(name))
    return inverse


def slices_of(tensor: Tensor, axes: Axes, indices: Tensor) -> Tensor:
    """The mask's slices of a whole parameter's sums; a tensor of no more than these is given back."""
    if tensor.shape == taken_shape(tensor.shape, axes, len(indices)):
        return tensor
    return take(tensor, axes, indices)
