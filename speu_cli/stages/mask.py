"""``speu mask``: which heads and filters a request, or any request, should change."""

from dataclasses import dataclass
from pathlib import Path

from speu_cli.artifacts.atomic import check_output
from speu_cli.data.columns import DataChoice
from speu_cli.errors import InputError
from speu_cli.masks.files import MaskOrigin, write_mask
from speu_cli.masks.importance import Curvature
from speu_cli.masks.localization import MaskSettings, Objective, localize_before_request, note_on_units
from speu_cli.masks.picture import check_picture, draw_mask
from speu_cli.stages.chosen_mask import localized_request
from speu_cli.stages.request import open_forget_set, open_with_statistics, require_mask_statistics
from speu_cli.stages.runtime import Runtime
from speu_cli.structures.mask import KeyValue, Mask
from speu_cli.unlearning.forget_examples import ForgetExamples


@dataclass(frozen=True)
class MaskResult:
    """What was selected.

    Attributes:
        output: The mask file.
        sha256: Digest of its content.
        selected: Units that may change, of all units, by kind.
        entries: Entries of their weights that may change, of all of these; None where all may.
        objective: What units were chosen by: ``mlr``, ``mlf``, ``norm`` or ``random``.
        objective_before: f of Eq. 9 or Eq. 19 of the selection; None with ``norm`` and ``random``.
        objective_after: f after rearrangement, or None.
        swaps: Units exchanged by rearrangement.
        forget_examples: Size of the forget set; None for a mask made before any request.
        picture: PNG of the mask, if one was asked for.
        kv: When a key and value head that several heads share may change.
        note: Something worth knowing, or None.
    """

    output: Path
    sha256: str
    selected: dict[str, tuple[int, int]]
    entries: tuple[int, int] | None
    objective: Objective
    objective_before: float | None
    objective_after: float | None
    swaps: int
    forget_examples: int | None
    picture: Path | None
    kv: KeyValue = "any"
    note: str | None = None


def mask(
    model: Path,
    fisher: Path,
    output: Path,
    *,
    data: str | None = None,
    forget: str | None = None,
    sparsity: float = 0.9,
    kinds: str = "both",
    curvature: Curvature = "total",
    rounds: int | None = None,
    kv: KeyValue = "any",
    objective: Objective = "mlr",
    within: str | None = None,
    forget_examples: ForgetExamples = "all",
    target_loss: float | None = None,
    picture: Path | None = None,
    choice: DataChoice | None = None,
    runtime: Runtime | None = None,
) -> MaskResult:
    """Select the units that a request updates (Eq. 8 and Eq. 9 by default), or any request (Eq. 13).

    Args:
        model: Folder of the checkpoint.
        fisher: Statistics file; those of the mask variables are enough, and with ``norm`` and ``random`` any.
        output: Mask file to write.
        data: The training set; needed with ``forget``.
        forget: Id list of the forget set. Default: none, a mask for any request.
        sparsity: S, the fraction of units frozen, in [0, 1).
        kinds: ``heads``, ``filters`` or ``both``.
        curvature: ``total`` or ``mean``, the two readings of Eq. 8.
        rounds: Most rounds of rearrangement. Default: until no swap helps.
        kv: A key and value head that several heads share changes if ``any`` of them is selected, or only if
            ``all`` are.
        objective: ``mlr``: by the loss of the remaining set; ``mlf``: by that of the forget set (Eq. 18);
            ``norm``: by the norm of the forget set's gradient; ``random``: by nothing. ``mlf`` and
            ``norm`` need ``forget``.
        within: ``wanda:S``: inside the selected units freeze a share S of each output row's weights, all but
            those with the largest products of weight and input norm; needs ``forget``. Default: none.
        forget_examples: ``all`` or ``remembered``: whose gradients count.
        target_loss: Loss of unseen examples. Default: that of the statistics' held-out set.
        picture: PNG to write.
        choice: Columns, split, task and length; must agree with the statistics.
        runtime: Device, batch size, overwriting, progress.

    Returns:
        What was selected.

    Raises:
        InputError: A forget set without data, data without a forget set, or neither where one is needed.
    """
    runtime = runtime or Runtime()
    settings = MaskSettings(sparsity, kinds, curvature, rounds, kv, objective, within)
    if (forget is None) != (data is None):
        raise InputError(
            "a mask for a request needs both --data and --forget, one for any request needs neither"
        )
    by_forget = objective in ("mlf", "norm")
    if forget is None and (by_forget or within is not None):
        option = f"--objective {objective}" if by_forget else "--within"
        raise InputError(f"{option} chooses by the examples to forget, expected --data and --forget")
    check_output(output, force=runtime.force, folder=False, inputs=(model, fisher, data, forget))
    if picture is not None:
        check_picture(picture, force=runtime.force, inputs=(model, fisher, data, forget, output))
    session, file = open_with_statistics(model, fisher, choice or DataChoice(), runtime)
    if settings.needs_mask_statistics:
        require_mask_statistics(file, fisher)
    settings.kinds_of(session.layout)  # refused before any example is read
    forget_record = None
    if data is not None and forget is not None:
        unseen = target_loss if target_loss is not None else file.unseen_loss
        forget_set = open_forget_set(
            session, file, data, forget, forget_examples=forget_examples, unseen_loss=unseen
        )
        forget_record = forget_set.record
        localized = localized_request(session, file, forget_set, settings)
    else:
        full = file.statistics.scaled_to(len(file.rows))
        localized = localize_before_request(full, session.layout, settings)
    origin = MaskOrigin(session.checkpoint.identity, file.digest, forget_record)
    digest = write_mask(output, localized, settings, origin, force=runtime.force)
    found, of_objective = localized.rearranged, localized.objective() or {}
    if picture is not None:
        draw_mask(
            {key: flags.numpy() for key, flags in found.mask.selected.items()}, picture, force=runtime.force
        )
    return MaskResult(
        output=output,
        sha256=digest,
        selected=found.mask.counts(),
        entries=_entries(found.mask),
        objective=settings.objective,
        objective_before=of_objective.get("before"),
        objective_after=of_objective.get("after"),
        swaps=found.swaps,
        forget_examples=forget_record["count"] if forget_record else None,
        picture=picture,
        kv=kv,
        note=note_on_units(session.layout) if kinds == "both" else None,
    )


def _entries(mask: Mask) -> tuple[int, int] | None:
    """Entries that were chosen inside the units, of all that they were chosen from."""
    if mask.within is None:
        return None
    flags = mask.within.values()
    return sum(int(one.sum()) for one in flags), sum(one.numel() for one in flags)
