"""What is compared on: a model with its statistics, a request, and the mask that it is served within."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kronecker.sample import Sample
from speu_cli.data.columns import DataChoice
from speu_cli.data.selection import sample_flags
from speu_cli.errors import InputError
from speu_cli.masks.localization import MaskSettings
from speu_cli.stages.chosen_mask import (
    mask_from_file,
    mask_of_ones,
    mask_of_request,
    require_mask_of_slices,
)
from speu_cli.stages.request import (
    ForgetSet,
    Request,
    open_forget_set,
    open_request,
    open_with_statistics,
    require_parameters,
    with_directions,
)
from speu_cli.stages.runtime import Runtime
from speu_cli.stages.second_order import wanted_of_step
from speu_cli.stages.session import Session
from speu_cli.statistics.files import StatisticsFile
from speu_cli.structures.mask import Mask


@dataclass(frozen=True)
class Sources:
    """Files that are read.

    Attributes:
        model: Checkpoint folder.
        fisher: Statistics of its training set.
        data: The training set.
        forget: Id list of the forget set.
        test: The test set.
        mask: Mask file; None: the mask is made of the request.
        holdout: Unseen examples whose mean loss is aimed at; None: that of the statistics.
        reference: Folder of a model retrained without the forget set, or None.
    """

    model: Path
    fisher: Path
    data: str
    forget: str
    test: str
    mask: Path | None = None
    holdout: str | None = None
    reference: Path | None = None


@dataclass(frozen=True)
class Opened:
    """A request, before any step.

    Attributes:
        session: The model.
        file: Statistics of its training set.
        forget: The forget set.
        request: Its statistics, and those of the remaining set.
        mask: m.
        target: Mean loss of unseen examples.
    """

    session: Session
    file: StatisticsFile
    forget: ForgetSet
    request: Request
    mask: Mask
    target: float

    def sample(self, examples: int, seed: int) -> Sample:
        """Draw from the remaining examples.

        Args:
            examples: How many; all if there are no more.
            seed: Of the draw.

        Returns:
            The sample.
        """
        session = self.session
        remaining = self.forget.training.without(self.forget.encoded.ids)
        chosen = np.flatnonzero(sample_flags(len(remaining), examples, seed)).tolist()
        drawn = remaining.select([remaining.ids[position] for position in chosen], why="were not drawn")
        return Sample(
            session.checkpoint.model,
            session.layout,
            session.task,
            session.encode(drawn),
            session.runtime.batch_tokens,
            session.runtime.progress,
        )


def open_sources(sources: Sources, sparsity: float, target: float | None, runtime: Runtime) -> Opened:
    """Read everything, and make the mask.

    Args:
        sources: What is read.
        sparsity: Of a mask that is made of the request; 0: every unit.
        target: Mean loss to aim at; None: that of the held-out set.
        runtime: Where to run.

    Returns:
        The request.

    Raises:
        InputError: No target is known, or the mask chooses inside of units.
    """
    session, file = open_with_statistics(sources.model, sources.fisher, DataChoice(), runtime)
    require_parameters(file, sources.fisher)
    given = mask_of_ones(session) if sparsity == 0 else None
    if sources.mask is not None:
        given = mask_from_file(session, sources.mask)
    require_mask_of_slices(given, sources.mask, file, sources.fisher)
    forget = open_forget_set(
        session, file, sources.data, sources.forget, forget_examples="all", unseen_loss=None
    )
    if target is None and sources.holdout is not None:
        held_out = session.encode(session.read_like(forget.training, sources.holdout))
        target = float(session.losses(held_out, "held-out losses").mean())
    target = file.unseen_loss if target is None else target
    if target is None:
        raise InputError(
            "there is no held-out set and no target loss", hint="give --holdout or --target-loss"
        )
    settings = MaskSettings(sparsity)
    wanted = with_directions(wanted_of_step(session, file, forget, given, settings), file)
    request = open_request(session, file, forget, wanted)
    mask = (given or mask_of_request(session, request, settings, file.digest)).mask
    if mask.within:
        raise InputError(f"{sources.mask} chooses entries inside of units, expected whole rows and columns")
    return Opened(session, file, forget, request, mask, target)
