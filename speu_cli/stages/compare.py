"""``speu compare``: several evaluated models side by side."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from speu_cli.artifacts.atomic import atomic_file, check_output
from speu_cli.errors import ArtifactError, InputError
from speu_cli.evaluation.report.visible import visible
from speu_cli.evaluation.runs.attacked import require_compared
from speu_cli.evaluation.runs.contents import Contents
from speu_cli.evaluation.runs.figures import figures
from speu_cli.evaluation.runs.lineup import ORIGINAL, REFERENCE, ComparedModel, line_up
from speu_cli.evaluation.runs.made import seconds_of
from speu_cli.evaluation.runs.markdown import markdown
from speu_cli.evaluation.runs.named import DESCENDING, require_known, sort
from speu_cli.evaluation.runs.page import page
from speu_cli.evaluation.runs.run import run_from
from speu_cli.evaluation.runs.tables import tables

LONGEST_NAME = 64
LONGEST_PATH = 200
LARGEST_FILE = 64 * 2**20


@dataclass(frozen=True)
class CompareResult:
    """Evaluated models side by side.

    Attributes:
        task: Name of the task.
        score: Name of its score.
        forget_examples: Size of D_f.
        remaining_examples: Examples of D_r that were measured.
        test_examples: Size of the test set.
        models: Originals, retrained models and runs, in this order.
        notes: Sentences on what does not agree between the runs.
    """

    task: str
    score: str
    forget_examples: int
    remaining_examples: int
    test_examples: int
    models: list[ComparedModel]
    notes: list[str]

    def contents(self, metrics: Sequence[str] = ()) -> Contents:
        """Lay it out for a person.

        Args:
            metrics: Columns to show instead of the usual ones.

        Returns:
            The tables, and what is said beside them.
        """
        sizes = {
            "forgotten": self.forget_examples,
            "remaining": self.remaining_examples,
            "held out": self.test_examples,
        }
        laid_out = tables(self.models, self.score, metrics)
        return Contents(self.models, laid_out, sizes, self.score, self.notes)


@dataclass(frozen=True)
class ComparisonFiles:
    """What is to be written; None leaves it out.

    Attributes:
        html: The page.
        markdown: The tables.
        force: Replace existing files.
    """

    html: Path | None = None
    markdown: Path | None = None
    force: bool = False

    @property
    def outputs(self) -> list[Path]:
        """What was asked for."""
        return [path for path in (self.html, self.markdown) if path is not None]


def compare(
    runs: Mapping[str, Path],
    *,
    made: Mapping[str, Path] | None = None,
    sort_by: str | None = None,
    metrics: Sequence[str] = (),
) -> CompareResult:
    """Lay evaluated models side by side.

    Args:
        runs: What ``speu eval --json`` printed of each, by the name that it is to have.
        made: What ``speu unlearn --json`` or ``speu train --json`` printed when it made a model, by the
            model's name: for the time that it took. The retrained model is ``reference``.
        sort_by: A metric, a gap, ``seconds``, ``parameters_changed`` or ``bytes_written``: the smallest
            comes first, with ``-`` before it the largest. Default: as given.
        metrics: Names that the caller is going to show; refused where no model has them.

    Returns:
        The models of all runs, the original and the retrained one among them, each with its distance from
        the retrained one.
    """
    _check_names(runs)
    read = [run_from(_read(path), name, _shown(path)) for name, path in runs.items()]
    lineup, measured = line_up(read), read[0].measured
    forgotten = measured.sizes["forget"]
    models = _timed(lineup.models, made or {}, forgotten)
    require_compared(lineup.left_out, [*metrics, (sort_by or "").removeprefix(DESCENDING)])
    require_known(models, metrics)
    return CompareResult(
        task=measured.task,
        score=measured.score,
        forget_examples=forgotten,
        remaining_examples=measured.sizes["remaining"],
        test_examples=measured.sizes["test"],
        models=models if sort_by is None else sort(models, sort_by),
        notes=lineup.notes,
    )


def check_comparison(files: ComparisonFiles, inputs: Sequence[Path]) -> None:
    """Refuse what could not or must not be written, before anything is read.

    Args:
        files: What is to be written.
        inputs: What is read; it is not replaced.

    Raises:
        InputError: ``force`` without a file.
    """
    if files.force and not files.outputs:
        raise InputError(
            "--force belongs to a file, but none was asked for", hint="ask for --html or --markdown"
        )
    for place, path in enumerate(files.outputs):
        others = [other for number, other in enumerate(files.outputs) if number != place]
        check_output(path, force=files.force, folder=False, inputs=[*inputs, *others])


def write_comparison(files: ComparisonFiles, result: CompareResult, metrics: Sequence[str] = ()) -> None:
    """Write a comparison for a person.

    Args:
        files: What to write, as `check_comparison` let it pass.
        result: The comparison.
        metrics: Columns to show instead of the usual ones.
    """
    contents = result.contents(metrics)
    if files.html is not None:
        drawings = figures(result.models, result.score)
        with atomic_file(files.html, force=files.force) as temporary:
            temporary.write_text(page(contents, drawings), encoding="utf-8")
    if files.markdown is not None:
        with atomic_file(files.markdown, force=files.force) as temporary:
            temporary.write_text(markdown(contents), encoding="utf-8")


def _check_names(runs: Mapping[str, Path]) -> None:
    """Refuse names that the rows of a table could not tell apart.

    Raises:
        InputError: There is no run, or a name is empty, too long or that of another row.
    """
    if not runs:
        raise InputError("there is no run to compare, expected at least one file of speu eval --json")
    for name in runs:
        taken = name in {ORIGINAL, REFERENCE} or name.startswith((f"{ORIGINAL} of ", f"{REFERENCE} of "))
        if taken or not 0 < len(name) <= LONGEST_NAME:
            raise InputError(
                f"a run is called {visible(repr(name), 2 * LONGEST_NAME)}, expected 1 to {LONGEST_NAME} "
                f"characters, and neither {ORIGINAL} nor {REFERENCE}",
                hint="give it another name: NAME=FILE",
            )


def _timed(
    models: Sequence[ComparedModel], made: Mapping[str, Path], forget_examples: int
) -> list[ComparedModel]:
    """Add the times that are told of models.

    Returns:
        The models.

    Raises:
        InputError: There is no such model.
    """
    names = [model.name for model in models]
    strange = next((name for name in made if name not in names), None)
    if strange is not None:
        known = visible(", ".join(names), 4 * LONGEST_NAME)
        raise InputError(
            f"no model is called {visible(repr(strange), LONGEST_NAME)}, expected one of {known}"
        )
    seconds = {
        model.name: seconds_of(_read(path), _shown(path), model, forget_examples)
        for model in models
        if (path := made.get(model.name)) is not None
    }
    return [replace(model, seconds=seconds.get(model.name)) for model in models]


def _read(path: Path) -> dict[str, object]:
    """Read a JSON object.

    Returns:
        What is in it.

    Raises:
        InputError: The file cannot be read.
        ArtifactError: It is something else.
    """
    shown = _shown(path)
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
        if len(content) > LARGEST_FILE:
            raise ArtifactError(f"{shown} is larger than {LARGEST_FILE // 2**20} MB: it is no result of speu")
        value = json.loads(content)
    except OSError as error:
        raise InputError(f"{shown}: cannot be read: {(error.strerror or str(error)).lower()}") from error
    except (ValueError, RecursionError) as error:
        raise ArtifactError(
            f"{shown} is not readable JSON: {visible(str(error), LONGEST_PATH)}",
            hint="take the file as speu --json printed it",
        ) from error
    if not isinstance(value, dict):
        raise ArtifactError(
            f"{shown} holds {type(value).__name__}, expected the object that speu --json printed"
        )
    return value


def _shown(path: Path) -> str:
    return visible(str(path), LONGEST_PATH)
