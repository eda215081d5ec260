"""The report of ``speu eval``: an evaluation with what is known of the checkpoint, written as files."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speu_cli.artifacts.atomic import atomic_file, atomic_folder, check_output
from speu_cli.artifacts.format import read_artifact
from speu_cli.checkpoints.write import read_record
from speu_cli.errors import ArtifactError, InputError
from speu_cli.evaluation.metric import Metric
from speu_cli.evaluation.report.contents import MODEL, ORIGINAL, Contents, Known, Relearning
from speu_cli.evaluation.report.figures import figures
from speu_cli.evaluation.report.markdown import markdown
from speu_cli.evaluation.report.movement import movements
from speu_cli.evaluation.report.page import page
from speu_cli.masks.files import KIND as MASK
from speu_cli.stages.chosen_mask import MASK_NAME
from speu_cli.stages.evaluate import EvaluateResult
from speu_cli.stages.inspect import selected_units

FIGURE_KINDS = {".png", ".svg"}


@dataclass(frozen=True)
class ReportFiles:
    """What is to be written; None leaves it out.

    Attributes:
        html: The page.
        markdown: Summary and tables.
        figures: Folder of PNG and SVG files.
        mask: Mask file to draw. Default: the one inside the checkpoint folder.
        show_text: Whether the texts of forgotten examples may be shown.
        force: Replace existing files.
        junit: JUnit XML of the requirements; it belongs to no report, and is written by itself.
    """

    html: Path | None = None
    markdown: Path | None = None
    figures: Path | None = None
    mask: Path | None = None
    show_text: bool = False
    force: bool = False
    junit: Path | None = None

    @property
    def any(self) -> bool:
        """Whether a report is to be written."""
        return any(path is not None for path in (self.html, self.markdown, self.figures))


def check_report(files: ReportFiles, inputs: Iterable[str | Path | None]) -> None:
    """Refuse what could not or must not be written, before anything is measured.

    Args:
        files: What is to be written.
        inputs: What is read; it is not replaced.

    Raises:
        InputError: Two outputs are the same, or a folder holds something else than figures; or what a report
            shows was asked for without a report.
    """
    if not files.any and (files.mask is not None or files.show_text):
        raise InputError(
            "--mask and --show-text belong to a report, but none was asked for",
            hint="ask for one with --html, --markdown or --figures",
        )
    written = (files.html, files.markdown, files.figures, files.junit)
    outputs = [path for path in written if path is not None]
    if files.force and not outputs:
        raise InputError(
            "--force replaces files, but none was asked for",
            hint="ask for one with --html, --markdown, --figures or --junit",
        )
    for place, path in enumerate(outputs):
        others = [other for number, other in enumerate(outputs) if number != place]
        read = (*inputs, files.mask, *others)
        check_output(path, force=files.force, folder=path is files.figures, inputs=read)
    if files.figures is not None and files.figures.is_dir():
        strange = sorted(
            path.name for path in files.figures.iterdir() if path.suffix not in FIGURE_KINDS or path.is_dir()
        )
        if strange:
            raise InputError(
                f"{files.figures} holds something else than figures ({strange[0]}): it is not replaced"
            )


def check_mask(files: ReportFiles, model: Path) -> None:
    """Refuse the mask of another model, before anything is measured.

    Args:
        files: What is to be written.
        model: Folder of the model.
    """
    record = read_record(model)
    path, _ = _find_mask(model, files.mask, record)
    if path is not None:
        _read_mask(path, record)


def write_report(files: ReportFiles, result: EvaluateResult, model: Path, original: Path | None) -> None:
    """Write an evaluation as a report.

    Args:
        files: What to write, as :func:`check_report` let it pass.
        result: The evaluation.
        model: Folder of the model.
        original: Folder of the model before, if it was given.
    """
    contents = report_contents(result, model, original, mask=files.mask, show_text=files.show_text)
    drawings = figures(contents) if files.html is not None or files.figures is not None else []
    if files.html is not None:
        _write(files.html, page(contents, drawings), force=files.force)
    if files.markdown is not None:
        _write(files.markdown, markdown(contents), force=files.force)
    if files.figures is not None:
        with atomic_folder(files.figures, force=files.force) as folder:
            for drawing in drawings:
                (folder / f"{drawing.name}.png").write_bytes(drawing.png())
                (folder / f"{drawing.name}.svg").write_bytes(drawing.svg())


def _write(target: Path, text: str, *, force: bool) -> None:
    with atomic_file(target, force=force) as temporary:
        temporary.write_text(text, encoding="utf-8")


def report_contents(
    result: EvaluateResult, model: Path, original: Path | None, *, mask: Path | None, show_text: bool
) -> Contents:
    """Put together what a report is made from.

    Args:
        result: The evaluation.
        model: Folder of the model.
        original: Folder of the model before, if it was given.
        mask: Mask file. Default: the one inside the checkpoint folder.
        show_text: Whether texts may be shown.

    Returns:
        The contents.
    """
    record = read_record(model)
    path, why_no_mask = _find_mask(model, mask, record)
    selected = None if path is None else selected_units(_read_mask(path, record))
    movement, why_no_movement = None, "The model before was not given, so it is not known."
    if original is not None:
        try:
            movement, why_no_movement = movements(model, original), ""
        except ArtifactError as error:
            why_no_movement = f"The weights could not be compared: {error}."
    return Contents(
        metrics=_columns(result),
        gaps=result.gaps,
        noise=result.noise,
        retrained=len(result.references),
        gates=result.gates,
        sets=result.evidence.sets,
        outcomes=result.evidence.outcomes,
        record=record,
        known=Known(selected, movement, why_no_mask, why_no_movement),
        show_text=show_text,
        relearning=_relearning(result),
        definitions=result.definitions,
    )


def _relearning(result: EvaluateResult) -> Relearning | None:
    found = result.attacks.relearned if result.attacks else None
    if found is None:
        return None
    curves = dict(sorted(found.curves.items(), key=lambda item: item[0] != ORIGINAL))  # as the columns
    return Relearning(found.shown, found.held_back, result.identity.score, found.level, curves)


def _columns(result: EvaluateResult) -> dict[str, Mapping[str, Metric]]:
    """The metrics of each model, under the names that its outcomes have."""
    sides = {ORIGINAL: result.original, MODEL: result.model, "reference": result.reference}
    return {name: metrics for name, metrics in sides.items() if metrics is not None}


def _find_mask(model: Path, mask: Path | None, record: Mapping[str, Any] | None) -> tuple[Path | None, str]:
    """Where the mask is, or a sentence that says why there is none."""
    if mask is not None:
        return mask, ""
    if (model / MASK_NAME).is_file():
        return model / MASK_NAME, ""
    if record is not None and record.get("method") == "so":
        return None, "Method so has no mask: all heads and filters could change."
    return None, f"The mask is not known: there is no {MASK_NAME} beside the model, and none was named."


def _read_mask(path: Path, record: Mapping[str, Any] | None) -> Any:
    """Read a mask and make sure that it is the one that the checkpoint was made with.

    Returns:
        The file.

    Raises:
        ArtifactError: It is another one.
    """
    artifact = read_artifact(path, MASK)
    inputs = (record or {}).get("inputs")
    digest = inputs.get("mask") if isinstance(inputs, Mapping) else None
    before = (record or {}).get("model_before")
    if digest not in {None, artifact.digest} or (before and artifact.record.get("model") != before):
        raise ArtifactError(
            f"{path} is not the mask that the model was made with",
            hint="name the right one with --mask, or none",
        )
    return artifact
