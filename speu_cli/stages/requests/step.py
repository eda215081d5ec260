"""What a request does to a model, however it was computed."""

from dataclasses import dataclass

from speu_cli.masks.localization import Localized
from speu_cli.structures.mask import Mask
from speu_cli.unlearning.requests.forgotten import Forgotten


@dataclass(frozen=True)
class RequestStep:
    """What a request does to the model.

    Attributes:
        mask: Which units may change.
        localized: How it came about; None for a mask that was not chosen.
        parameters: Parameter entries in their slices.
        forgotten: Sums over all forgotten examples, those of this request among them; None if none are kept.
        in_all: Number of these examples.
        remaining: n_r.
        counted: Remaining examples in the statistics.
        rate: η of the new examples; None if there are none.
        loss_before: Mean loss of the new examples at the model that the request starts from, or None.
        loss_after: At the new model, or None.
    """

    mask: Mask
    localized: Localized | None
    parameters: int
    forgotten: Forgotten | None
    in_all: int
    remaining: int
    counted: int
    rate: float | None
    loss_before: float | None
    loss_after: float | None
