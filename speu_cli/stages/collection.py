"""What a run of ``speu fisher`` collects, from the options that say it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from speu_cli.errors import InputError
from speu_cli.masks.files import read_mask
from speu_cli.masks.within import require_fits
from speu_cli.stages.session import Session
from speu_cli.statistics.directions import EXAMPLES, MOST, Directions
from speu_cli.statistics.files import Collection
from speu_cli.statistics.wanted import SAMPLE, Part, Scope, Wanted, wanted_parameters, wanted_slices
from speu_cli.structures.mask import Mask

Only = Literal["mask"]
Auto = Literal["auto"]

# With ``auto``: a direction for each class up to so many, and else so many of random signs.
MOST_CLASSES, SIGNS = 8, 4


@dataclass(frozen=True)
class CollectionChoice:
    """What is collected.

    Attributes:
        scope: F and g of the parameters that heads and filters own parts of, or of all.
        only: ``mask``: u and B alone.
        mask: Mask file: F and g of its slices alone.
        sample: Examples whose mask gradients stand for B where the units are too many for it.
        directions: How many directions: one for each class where there are as many classes, else of random
            signs. ``auto``: one for each class up to 8, else 4.
        direction_examples: Most examples that these are summed over.

    Raises:
        InputError: The choices contradict each other.
    """

    scope: Scope = "structures"
    only: Only | None = None
    mask: Path | None = None
    sample: int = SAMPLE
    directions: int | Auto = 0
    direction_examples: int = EXAMPLES

    def __post_init__(self) -> None:
        if self.scope not in get_args(Scope) or self.only not in {None, *get_args(Only)}:
            raise InputError(f"cannot collect scope {self.scope!r}, only {self.only!r}")
        if self.only and (self.mask or self.scope == "all"):
            raise InputError("--only mask collects no parameters, so it takes neither --mask nor --scope all")
        if self.mask and self.scope == "all":
            raise InputError("--mask collects slices of heads and filters, so it takes no --scope all")
        if self.directions != "auto" and not 0 <= self.directions <= MOST:
            raise InputError(f"--directions is {self.directions}, expected auto or a number from 0 to {MOST}")
        if self.direction_examples < 1:
            raise InputError(f"--direction-examples is {self.direction_examples}, expected at least 1")
        if self.only and self.directions:
            raise InputError("--only mask collects no parameters, so it takes no --directions")


@dataclass(frozen=True)
class Choice:
    """A choice, settled for a model and its training set.

    Attributes:
        wanted: For the pass.
        collected: For the file.
        selected: Numbers of the mask's units by group, for the file; None without a mask.
    """

    wanted: Wanted
    collected: Collection
    selected: Mapping[str, Tensor] | None


def settle(choice: CollectionChoice, session: Session, used: npt.NDArray[np.int64]) -> Choice:
    """Settle what is collected.

    Args:
        choice: What was asked for.
        session: The model.
        used: Hashes of the rows in the sums of the whole run, int64 ``[n]``.

    Returns:
        The settled choice.
    """
    model, layout = session.checkpoint.model, session.layout
    # The smallest hashes: a random sample that every process and every later request agrees on.
    sampled = torch.from_numpy(np.sort(used)[: choice.sample].copy())
    digest, selected, kv = None, None, Mask.kv
    if choice.only == "mask":
        wanted = Wanted({}, sampled=sampled)
    elif choice.mask is not None:
        mask, record = read_mask(choice.mask, session.checkpoint.identity, layout)
        require_fits(mask, model, str(choice.mask))
        digest, kv = str(record["sha256"]), mask.kv
        selected = {key: flags.nonzero()[:, 0] for key, flags in mask.selected.items()}
        wanted = Wanted(wanted_slices(mask), mask_statistics=False)
    else:
        parameters: dict[str, Part | None] = wanted_parameters(model, layout, choice.scope)
        wanted = Wanted(parameters, sampled=sampled)
    directions = _directions(choice, session)
    if directions is not None:
        wanted = replace(wanted, directions=directions, directed=directions.sample(torch.from_numpy(used)))
    collected = Collection(
        scope=choice.scope,
        parameters=choice.only is None,
        mask_statistics=wanted.mask_statistics,
        mask=digest,
        dtype=session.runtime.dtype,
        kv=kv,
        directions=directions,
    )
    return Choice(wanted, collected, selected)


def _directions(choice: CollectionChoice, session: Session) -> Directions | None:
    """Which directions are summed; None where none were asked for."""
    classes, count = session.task.classes(session.checkpoint.model.config), choice.directions
    if count == "auto":
        count = classes if 0 < classes <= MOST_CLASSES else SIGNS
    if not count:
        return None
    return Directions("classes" if count == classes else "signs", count, choice.direction_examples)
