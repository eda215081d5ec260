"""The mask of a request: of ones, from a file, or made from the request itself."""

import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from speu_cli.errors import ArtifactError, InputError
from speu_cli.masks.files import MaskOrigin, read_mask, write_mask
from speu_cli.masks.localization import MaskSettings, localize
from speu_cli.stages.request import Request
from speu_cli.stages.session import Session
from speu_cli.statistics.files import StatisticsFile
from speu_cli.structures.mask import Mask

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


def mask_of_request(
    session: Session, request: Request, settings: MaskSettings, statistics: str
) -> ChosenMask:
    """Find the mask of a request (Eq. 8 and Eq. 9).

    Args:
        session: The model.
        request: Its statistics.
        settings: Sparsity, kinds, curvature and rounds.
        statistics: Digest of the statistics file, for the record.

    Returns:
        The mask.
    """
    localized = localize(request.in_step, request.remaining, session.layout, settings)
    origin = MaskOrigin(session.checkpoint.identity, statistics, request.forget_record)

    def write(folder: Path) -> None:
        write_mask(folder / MASK_NAME, localized, settings, origin, force=False)

    return ChosenMask(localized.rearranged.mask, asdict(settings), None, write)
