"""Localization: from statistics to the mask, in the paper's three steps."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from speu_cli.errors import InputError
from speu_cli.masks.importance import (
    Curvature,
    curvature_scale,
    forget_loss_importance,
    gradient_norms,
    importance,
    warm_start_importance,
)
from speu_cli.masks.rearrangement import Rearranged, rearrange, rearrange_selected
from speu_cli.masks.selection import select
from speu_cli.masks.within import wanda_sparsity
from speu_cli.statistics.sums import Statistics
from speu_cli.structures.layout import KINDS, Kind, Layout
from speu_cli.structures.mask import KeyValue

Objective = Literal["mlr", "mlf", "norm", "random"]


@dataclass(frozen=True)
class MaskSettings:
    """How a mask is found.

    Attributes:
        sparsity: S, the fraction of units frozen.
        kinds: ``heads``, ``filters`` or ``both``.
        curvature: Reading of Eq. 8, see :func:`speu_cli.masks.importance.curvature_scale`.
        rounds: Most rounds of rearrangement; None = until no swap helps.
        kv: A key and value head that several heads share changes if ``any`` of them is selected, or only if
            ``all`` are.
        objective: What units are chosen by: ``mlr``, least loss of the remaining set (Eq. 8); ``mlf``, most
            loss of the forget set (Eq. 18); ``norm``, the norm of the forget set's gradient; ``random``, by
            none of these.
        within: How entries are chosen inside the selected units, ``wanda:S``; None = all of them.

    Raises:
        InputError: A value is out of range.
    """

    sparsity: float = 0.9
    kinds: str = "both"
    curvature: Curvature = "total"
    rounds: int | None = None
    kv: KeyValue = "any"
    objective: Objective = "mlr"
    within: str | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.sparsity < 1:
            raise InputError(f"--sparsity is {self.sparsity}, expected at least 0 and below 1")
        if self.kinds not in (*KINDS, "both"):
            raise InputError(f"--kinds is {self.kinds!r}, expected heads, filters or both")
        if self.curvature not in get_args(Curvature):
            raise InputError(f"--curvature is {self.curvature!r}, expected total or mean")
        if self.rounds is not None and self.rounds < 0:
            raise InputError(f"--rounds is {self.rounds}, expected at least 0")
        if self.objective not in get_args(Objective):
            raise InputError(f"--objective is {self.objective!r}, expected mlr, mlf, norm or random")
        if self.within is not None:
            wanda_sparsity(self.within)
        if self.kv not in get_args(KeyValue):
            raise InputError(f"--kv is {self.kv!r}, expected any or all")

    def kinds_of(self, layout: Layout) -> Collection[Kind]:
        """The kinds of units that may be selected in a model.

        Args:
            layout: Its units.

        Returns:
            Those asked for that it serves.

        Raises:
            InputError: It serves none of them.
        """
        asked: list[Kind] = [kind for kind in KINDS if self.kinds in (kind, "both")]
        served = [kind for kind in asked if kind not in layout.unserved]
        if not served:
            raise InputError(
                f"--kinds is {self.kinds}, which cannot be masked in this model: {layout.unserved[asked[0]]}",
                hint="use --kinds filters" if "filters" not in layout.unserved else None,
            )
        return served

    @property
    def needs_mask_statistics(self) -> bool:
        """Whether u and B are needed of the training set; ``norm`` takes g_f alone, ``random`` nothing."""
        return self.objective not in ("norm", "random")


@dataclass(frozen=True)
class Localized:
    """A mask and how it came about.

    Attributes:
        rearranged: The mask, with the objective before and after rearrangement.
        scores: Importance ``[units]`` by group.
        has_objective: Whether there is an f; with NORM and at random there is none, and no swaps.
    """

    rearranged: Rearranged
    scores: Mapping[str, Tensor]
    has_objective: bool = True

    def objective(self) -> dict[str, Any] | None:
        """The objective of Eq. 9 or Eq. 19 and the swaps that bettered it, as JSON values."""
        if not self.has_objective:
            return None
        return {
            "before": self.rearranged.before,
            "after": self.rearranged.after,
            "swaps": self.rearranged.swaps,
        }


def localize(forget: Statistics, remaining: Statistics, layout: Layout, settings: MaskSettings) -> Localized:
    """Find the mask of a request by the objective of the settings.

    Args:
        forget: Statistics of the forget examples: u; u, B and n_f with ``mlf``; g of whole parameters with
            ``norm``.
        remaining: S(D_r): B and n_r; u with ``mlf``; nothing with ``norm``.
        layout: The model's units.
        settings: Sparsity, kinds, curvature, rounds and objective.

    Returns:
        The mask, without entries chosen inside the units.
    """
    if settings.objective == "mlf":
        return localize_by_forget_loss(forget, remaining, layout, settings)
    if settings.objective == "norm":
        return localize_by_norm(forget, layout, settings)
    if settings.objective == "random":
        return localize_at_random(layout, settings)
    return localize_by_remaining_loss(forget, remaining, layout, settings)


def localize_by_remaining_loss(
    forget: Statistics, remaining: Statistics, layout: Layout, settings: MaskSettings
) -> Localized:
    """Find the units without which the remaining set's loss would rise most (MLR: Eq. 8, then Eq. 9)."""
    c = curvature_scale(settings.curvature, remaining.count)
    scores = importance(forget, remaining, c)
    mask = select(scores, layout, settings.kinds_of(layout), settings.sparsity, settings.kv)
    return Localized(rearrange(mask, forget.mask_gradient, remaining, c, rounds=settings.rounds), scores)


def localize_by_forget_loss(
    forget: Statistics, remaining: Statistics, layout: Layout, settings: MaskSettings
) -> Localized:
    """Find the units without which the forget set's loss would rise most (MLF: Eq. 18, then Eq. 19)."""
    _require_examples(forget, settings)
    c = curvature_scale(settings.curvature, forget.count)
    scores = forget_loss_importance(forget, remaining, c)
    mask = select(scores, layout, settings.kinds_of(layout), settings.sparsity, settings.kv)
    u = remaining.mask_gradient
    return Localized(rearrange_selected(mask, u, forget, c, rounds=settings.rounds), scores)


def localize_by_norm(forget: Statistics, layout: Layout, settings: MaskSettings) -> Localized:
    """Find the units with the largest gradients of the forget set (NORM); nothing is rearranged."""
    _require_examples(forget, settings)
    scores = gradient_norms(forget, layout)
    mask = select(scores, layout, settings.kinds_of(layout), settings.sparsity, settings.kv)
    return Localized(Rearranged(mask, 0.0, 0.0, 0), scores, has_objective=False)


def localize_at_random(layout: Layout, settings: MaskSettings) -> Localized:
    """Choose units without looking at anything: the control of every other choice, always the same."""
    draw = torch.Generator().manual_seed(0)
    scores = {group.key: torch.rand(group.count, generator=draw, dtype=torch.float64) for group in layout}
    mask = select(scores, layout, settings.kinds_of(layout), settings.sparsity, settings.kv)
    return Localized(Rearranged(mask, 0.0, 0.0, 0), scores, has_objective=False)


def _require_examples(forget: Statistics, settings: MaskSettings) -> None:
    """Refuse to choose by the forget set where none of it counts.

    Raises:
        InputError: None does.
    """
    if not forget.count:
        raise InputError(
            f"--objective {settings.objective} chooses by the forget examples, and none of them counts",
            hint="take --forget-examples all",
        )


def localize_before_request(full: Statistics, layout: Layout, settings: MaskSettings) -> Localized:
    """Find the mask that can be computed before any request (Eq. 13, then Eq. 9 without its forget term).

    Args:
        full: S(D); only B is used.
        layout: The model's units.
        settings: Sparsity, kinds, curvature and rounds; objective ``mlr`` or ``random``.

    Returns:
        The mask.
    """
    if settings.objective == "random":
        return localize_at_random(layout, settings)
    c = curvature_scale(settings.curvature, full.count)
    scores = warm_start_importance(full)
    mask = select(scores, layout, settings.kinds_of(layout), settings.sparsity, settings.kv)
    nothing = {key: tensor.new_zeros(len(tensor)) for key, tensor in full.mask_fisher.items()}
    return Localized(rearrange(mask, nothing, full, c, rounds=settings.rounds), scores)


def note_on_units(layout: Layout) -> str | None:
    """What to tell of units that no mask of a model holds.

    Args:
        layout: Its units.

    Returns:
        The note; None where all kinds are served.
    """
    notes = [f"the {kind} of this model stay frozen: {why}" for kind, why in layout.unserved.items()]
    return "; ".join(notes) or None
