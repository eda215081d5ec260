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
from speu_cli.structures.mask import KeyValue


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

    Raises:
        InputError: A value is out of range.
    """

    sparsity: float = 0.9
    kinds: str = "both"
    curvature: Curvature = "total"
    rounds: int | None = None
    kv: KeyValue = "any"

    def __post_init__(self) -> None:
        if not 0 <= self.sparsity < 1:
            raise InputError(f"--sparsity is {self.sparsity}, expected at least 0 and below 1")
        if self.kinds not in (*KINDS, "both"):
            raise InputError(f"--kinds is {self.kinds!r}, expected heads, filters or both")
        if self.curvature not in get_args(Curvature):
            raise InputError(f"--curvature is {self.curvature!r}, expected total or mean")
        if self.rounds is not None and self.rounds < 0:
            raise InputError(f"--rounds is {self.rounds}, expected at least 0")

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
    mask = select(scores, layout, settings.kinds_of(layout), settings.sparsity, settings.kv)
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
