"""The mask of a request: of ones, from a file, or made from the request itself."""

import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from speu_cli.errors import ArtifactError, InputError
from speu_cli.masks.files import MaskOrigin, read_mask, write_mask
from speu_cli.masks.input_norms import input_norms
from speu_cli.masks.localization import (
    Localized,
    MaskSettings,
    localize,
    localize_at_random,
    localize_by_norm,
)
from speu_cli.masks.within import require_fits, wanda_sparsity, weights_of, with_wanda
from speu_cli.stages.request import ForgetSet, Request, open_request, statistics_of, wanted_of
from speu_cli.stages.session import Session
from speu_cli.statistics.files import StatisticsFile
from speu_cli.statistics.wanted import SAMPLE, Part, Wanted
from speu_cli.structures.mask import Mask
from speu_cli.tasks.encoded import Encoded

MASK_NAME = "speu-mask.safetensors"


@dataclass(frozen=True)
class ChosenMask:
    """The mask that a step uses.

    Attributes:
        mask: Which units may change.
        settings: How it was made, as JSON values; None for a mask of ones.
        digest: Of the mask file that was given, if one was.
        write: Writes its file into a folder; None for a mask of ones.
    """

    mask: Mask
    settings: dict[str, Any] | None = None
    digest: str | None = None
    write: Callable[[Path], object] | None = None

    @property
    def files(self) -> list[str]:
        """Names that :attr:`write` writes."""
        return [MASK_NAME] if self.write else []


def mask_of_ones(session: Session) -> ChosenMask:
    """Every unit: SO (Eq. 2)."""
    return ChosenMask(Mask.ones(session.layout))


def mask_from_file(session: Session, path: Path) -> ChosenMask:
    """A mask made before."""
    mask, record = read_mask(path, session.checkpoint.identity, session.layout)
    require_fits(mask, session.checkpoint.model, str(path))

    def write(folder: Path) -> None:
        shutil.copyfile(path, folder / MASK_NAME)

    return ChosenMask(mask, record["settings"], str(record["sha256"]), write)


def require_mask_of_slices(
    chosen: ChosenMask | None, mask: Path | None, file: StatisticsFile, fisher: Path
) -> None:
    """Refuse statistics of a mask's slices with any other mask.

    Args:
        chosen: The mask of the step; None if it is to be made from the request.
        mask: Where it was read from, if it was.
        file: The statistics.
        fisher: Where they were read from.

    Raises:
        InputError: No mask file was given.
        ArtifactError: It is another mask.
    """
    digest = file.collected.mask
    if digest is None:
        return
    holds = f"{fisher} holds only the slices of the mask with sha256 {digest[:12]}"
    if chosen is None or mask is None:
        raise InputError(
            f"{holds}, and no mask was given",
            hint="give the mask that 'speu fisher' got with --mask, or take statistics of whole parameters",
        )
    if chosen.digest != digest:
        raise ArtifactError(
            f"{holds}, but that of {mask} is {str(chosen.digest)[:12]}",
            hint="give the mask that the statistics were computed with, or compute them for this one",
        )
    of_file = file.mask(chosen.mask.layout)
    for key, units in chosen.mask.selected.items():
        if of_file is None or not torch.equal(units, of_file.selected[key]):
            raise ArtifactError(f"{fisher}: 'selected/{key}' is not what its mask {mask} selects")


def wanted_for_mask(
    file: StatisticsFile, parameters: dict[str, Part | None], forget: ForgetSet, settings: MaskSettings
) -> Wanted:
    """What a mask of a request is made from, so that it can be subtracted from what a file holds.

    Args:
        file: Statistics of the training set.
        parameters: Those that F and g are needed of besides.
        forget: The forget set.
        settings: How the mask is found.

    Returns:
        The wish.
    """
    wanted = wanted_of(file, parameters, mask_statistics=settings.needs_mask_statistics)
    if settings.objective != "mlf":
        return wanted
    # Of the training set's sample few are to be forgotten, and here B is that of the forget set.
    own = forget.in_step.keys.sort().values[:SAMPLE]
    return replace(wanted, sampled=torch.cat([wanted.sampled, own]).unique())


def localized_request(
    session: Session, file: StatisticsFile, forget: ForgetSet, settings: MaskSettings
) -> Localized:
    """Find the mask of a request, and collect no more than it needs.

    Args:
        session: The model.
        file: Statistics of the training set.
        forget: The forget set.
        settings: How the mask is found.

    Returns:
        The mask and its scores.
    """
    if settings.objective == "norm":
        wanted = Wanted(dict.fromkeys(session.layout.parameters), mask_statistics=False)
        gradients = statistics_of(session, forget.in_step, wanted)
        localized = localize_by_norm(gradients, session.layout, settings)
    elif settings.objective == "random":
        localized = localize_at_random(session.layout, settings)
    else:
        request = open_request(session, file, forget, wanted_for_mask(file, {}, forget, settings))
        localized = localize(request.in_step, request.remaining, session.layout, settings)
    return _with_entries(session, forget.encoded, localized, settings)


def _with_entries(
    session: Session, encoded: Encoded, localized: Localized, settings: MaskSettings
) -> Localized:
    """Choose the entries inside the selected units, where the settings say so."""
    if settings.within is None:
        return localized
    model, mask = session.checkpoint.model, localized.rearranged.mask
    norms = input_norms(
        model,
        encoded,
        set(weights_of(mask, model).values()),
        batch_tokens=session.runtime.batch_tokens,
        progress=session.runtime.progress,
    )
    chosen = with_wanda(mask, model, norms, wanda_sparsity(settings.within))
    return replace(localized, rearranged=replace(localized.rearranged, mask=chosen))


def mask_of_request(
    session: Session, request: Request, settings: MaskSettings, statistics: str
) -> ChosenMask:
    """Find the mask of a request, from statistics that its step needs too.

    Args:
        session: The model.
        request: Its statistics.
        settings: How the mask is found.
        statistics: Digest of the statistics file, for the record.

    Returns:
        The mask.
    """
    localized = localize(request.in_step, request.remaining, session.layout, settings)
    localized = _with_entries(session, request.encoded, localized, settings)
    origin = MaskOrigin(session.checkpoint.identity, statistics, request.forget_record)

    def write(folder: Path) -> None:
        write_mask(folder / MASK_NAME, localized, settings, origin, force=False)

    return ChosenMask(localized.rearranged.mask, asdict(settings), None, write)
