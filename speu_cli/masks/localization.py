"""Localization: from statistics to the mask, in the paper's three steps."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from torch import Tensor

from speu_cli.errors import InputError
from speu_cli.masks.importance import Curvature, curvature_scale, importance, warm_start_importance
from speu_cli.masks.rearrangement import Rearranged, rearrange
from speu_cli.masks.selection import select
from speu_cli.statistics.sums import Statistics
from speu_cli.structures.layout import KINDS, Kind, Layout


@dataclass(frozen=True)
class MaskSettings:
    """How a mask is found.

    Attributes:
        sparsity: S, the fraction of units frozen.
        kinds: ``heads``, ``filters`` or ``both``.
        curvature: Reading of Eq. 8, see :func:`speu_cli.masks.importance.curvature_scale`.
        rounds: Most rounds of rearrangement; None = until no swap helps.

    Raises:
        InputError: A value is out of range.
    """

    sparsity: float = 0.9
    kinds: str = "both"
    curvature: Curvature = "total"
    rounds: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.sparsity < 1:
            raise InputError(f"--sparsity is {self.sparsity}, expected at least 0 and below 1")
        if self.kinds not in (*KINDS, "both"):
            raise InputError(f"--kinds is {self.kinds!r}, expected heads, filters or both")
        if self.curvature not in get_args(Curvature):
            raise InputError(f"--curvature is {self.curvature!r}, expected total or mean")
        if self.rounds is not None and self.rounds < 0:
            raise InputError(f"--rounds is {self.rounds}, expected at least 0")

    @property
    def selected_kinds(self) -> Collection[Kind]:
        """The kinds of units that may be selected."""
        return [kind for kind in KINDS if self.kinds in (kind, "both")]


@dataclass(frozen=True)
class Localized:
    """A mask and how it came about.

    Attributes:
        rearranged: The mask, with the objective before and after rearrangement.
        scores: Importance ``[units]`` by group.
    """

    rearranged: Rearranged
    scores: Mapping[str, Tensor]

    def objective(self) -> dict[str, Any]:
        """The objective of Eq. 9 and the swaps that lowered it, as JSON values."""
        return {
            "before": self.rearranged.before,
            "after": self.rearranged.after,
            "swaps": self.rearranged.swaps,
        }


def localize(forget: Statistics, remaining: Statistics, layout: Layout, settings: MaskSettings) -> Localized:
    """Find the mask of a request (Eq. 8, then Eq. 9).

    Args:
        forget: Statistics of the forget examples; only u is used.
        remaining: S(D_r); only B and n_r are used.
        layout: The model's units.
        settings: Sparsity, kinds, curvature and rounds.

    Returns:
        The mask.
    """
    c = curvature_scale(settings.curvature, remaining.count)
    scores = importance(forget, remaining, c)
    mask = select(scores, layout, settings.selected_kinds, settings.sparsity)
    return Localized(rearrange(mask, forget.mask_gradient, remaining, c, rounds=settings.rounds), scores)


def localize_before_request(full: Statistics, layout: Layout, settings: MaskSettings) -> Localized:
    """Find the mask that can be computed before any request (Eq. 13, then Eq. 9 without its forget term).

    Args:
        full: S(D); only B is used.
        layout: The model's units.
        settings: Sparsity, kinds, curvature and rounds.

    Returns:
        The mask.
    """
    c = curvature_scale(settings.curvature, full.count)
    scores = warm_start_importance(full)
    mask = select(scores, layout, settings.selected_kinds, settings.sparsity)
    nothing = {key: tensor.new_zeros(len(tensor)) for key, tensor in full.mask_fisher.items()}
    return Localized(rearrange(mask, nothing, full, c, rounds=settings.rounds), scores)
