"""Steps in function space: each forgotten example to a target of its own, some remaining ones held."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
import psutil
import torch
from torch import Tensor

from speu_cli.data.selection import sample_flags
from speu_cli.errors import ArtifactError, InputError
from speu_cli.masks.localization import MaskSettings
from speu_cli.stages.chosen_mask import ChosenMask, mask_of_request
from speu_cli.stages.done import Done
from speu_cli.stages.request import ForgetSet, open_request
from speu_cli.stages.second_order import wanted_of_step
from speu_cli.stages.session import Session
from speu_cli.statistics.example_rows import ExampleRows, example_rows
from speu_cli.statistics.files import StatisticsFile
from speu_cli.statistics.running import shape_of
from speu_cli.statistics.sums import Statistics
from speu_cli.statistics.wanted import Part
from speu_cli.structures.mask import Mask
from speu_cli.tasks.encoded import Encoded
from speu_cli.unlearning.function_space import gram, row_direction, row_weights
from speu_cli.unlearning.recipes.recipe import Recipe
from speu_cli.unlearning.second_order import Direction, inverse_curvature
from speu_cli.unlearning.targets import unseen_margins

FLOAT32 = 4
SHARE_OF_FREE = 4  # of the memory that is free, rows take at most one part in so many
LEAST_BYTES = 2**28

Floats = npt.NDArray[np.float64]


def function_space(
    session: Session,
    file: StatisticsFile,
    forget: ForgetSet,
    given: ChosenMask | None,
    mask_settings: MaskSettings,
    recipe: Recipe,
) -> Done:
    """Move each forgotten example to what it would be known like unseen, in memory.

    Args:
        session: The model; it is moved.
        file: Statistics of the training set, with the losses of a held-out set.
        forget: The forget set.
        given: The mask; None if it is to be made.
        mask_settings: How it is made then.
        recipe: How the steps are made.

    Returns:
        What was done.
    """
    aims = aims_of(session, file, forget, recipe)
    wanted = wanted_of_step(session, file, forget, given, mask_settings)
    request = open_request(session, file, forget, wanted)
    chosen = given or mask_of_request(session, request, mask_settings, file.digest)
    steps = Steps(session, with_held(session, forget, recipe.held), request.remaining, chosen.mask, recipe)
    entries = steps.take(aims)
    loss = float(session.losses(forget.encoded, "forget losses").mean())
    return Done(
        chosen=chosen,
        settings=asdict(recipe) | {"damping_mean": "slices" if file.collected.mask else "tensor"},
        in_step=int((aims < session.task.margins.of(forget.losses)).sum()),
        remaining=request.remaining.count,
        entries=entries,
        rate=None,
        loss=loss,
        note=None,
    )


def aims_of(session: Session, file: StatisticsFile, forget: ForgetSet, recipe: Recipe) -> Floats:
    """What each forgotten example should be known like.

    Args:
        session: The model.
        file: Statistics with the losses of training and held-out examples.
        forget: The forget set.
        recipe: For messages.

    Returns:
        Margins, ``[n_f]``.

    Raises:
        InputError: What unseen examples look like is not known.
        ArtifactError: What the training examples look like is not known.
    """
    if not len(file.holdout_losses):
        raise InputError(
            f"recipe {recipe.name} gives each example a target of its own, by those of unseen examples, and "
            "the statistics know none",
            hint="compute them with 'speu fisher --holdout', or take --recipe paper and --target-loss",
        )
    if file.losses is None:
        raise ArtifactError(
            "the statistics are of an older version, without the losses of the training examples",
            hint="compute them again with 'speu fisher', or take --recipe paper",
        )
    margins, stays = session.task.margins, np.ones(len(file.rows), dtype=np.bool_)
    stays[forget.training.positions(forget.encoded.ids)] = False
    known, unseen = margins.of(file.losses[stays[file.used]]), margins.of(file.holdout_losses)
    return unseen_margins(margins.of(forget.losses), known, unseen, margins.lowest)


def with_held(session: Session, forget: ForgetSet, count: int) -> Encoded:
    """The forget set, and after it a random sample of what remains: always the same of the same set."""
    forgotten = set(forget.encoded.ids)
    remaining = [one for one in forget.training.ids if one not in forgotten]
    flags = sample_flags(len(remaining), count, 0) if count else np.zeros(len(remaining), dtype=np.bool_)
    held = [one for one, chosen in zip(remaining, flags, strict=True) if chosen]
    return session.encode(forget.training.select([*forget.encoded.ids, *held]))


@dataclass(frozen=True)
class Steps:
    """Steps on the slices of a mask.

    Attributes:
        session: The model; it is moved.
        encoded: The forget set, and after it the examples that are held.
        remaining: S(D_r).
        mask: Which units may change.
        recipe: How steps are made.
    """

    session: Session
    encoded: Encoded
    remaining: Statistics
    mask: Mask
    recipe: Recipe

    def take(self, aims: Floats) -> int:
        """Go to the targets step by step, with fresh gradients each time.

        Args:
            aims: Margins that the forget set should have, ``[n_f]``.

        Returns:
            Number of parameter entries that may change.
        """
        inverse = inverse_curvature(self.remaining, self.mask, damping=self.recipe.damping)
        blocks = list(self._blocks())
        start: Floats | None = None
        entries = 0
        for step in range(self.recipe.steps):
            found = self._rows(blocks[0], step)
            margins = self.session.task.margins.of(found.losses.numpy())
            start = margins if start is None else start
            wanted = np.maximum(start - margins, 0.0)  # what is held is lifted where it has fallen
            wanted[: len(aims)] = (aims - margins[: len(aims)]) / (self.recipe.steps - step)
            direction = self._direction(blocks, found, inverse, torch.from_numpy(wanted))
            direction.apply(self.session.checkpoint.model, 1.0)
            entries = direction.size
        return entries

    def _direction(
        self,
        blocks: Sequence[dict[str, Part]],
        first: ExampleRows,
        inverse: dict[str, Tensor],
        wanted: Tensor,
    ) -> Direction:
        """The step, from the rows of one block of parameters at a time."""
        slopes = torch.from_numpy(self.session.task.margins.slopes(first.losses.numpy()))
        products = gram(first.gradients, inverse)
        for block in blocks[1:]:
            products = products + gram(self._rows(block).gradients, inverse)
        # The rows are gradients of losses: those of margins are dz/dℓ times as long.
        weights = slopes * row_weights(products * torch.outer(slopes, slopes), wanted, self.recipe.ridge)
        steps = row_direction(first.gradients, inverse, weights, self.mask).steps
        for block in blocks[1:]:
            rows = self._rows(block).gradients
            steps = steps | row_direction(rows, inverse, weights, self.mask).steps
        return Direction(steps)

    def _rows(self, block: dict[str, Part], step: int | None = None) -> ExampleRows:
        """Gradients of all examples on some of the slices."""
        session = self.session
        return example_rows(
            session.checkpoint.model,
            session.layout,
            session.task,
            self.encoded,
            block,
            batch_tokens=session.runtime.batch_tokens,
            progress=session.runtime.progress,
            description="gradients" if step is None else f"step {step + 1} of {self.recipe.steps}",
        )

    def _blocks(self) -> Iterator[dict[str, Part]]:
        """Parameters whose rows fit in memory together; each block costs two passes more."""
        most = max(psutil.virtual_memory().available // SHARE_OF_FREE, LEAST_BYTES)
        model, block, filled = self.session.checkpoint.model, dict[str, Part](), 0
        for name, axes, indices in self.mask.slices():
            parameter = model.get_parameter(name)
            size = FLOAT32 * len(self.encoded) * shape_of(parameter, Part(axes, indices)).numel()
            if block and filled + size > most:
                yield block
                block, filled = {}, 0
            block[name] = Part(axes, indices)
            filled += size
        yield block
