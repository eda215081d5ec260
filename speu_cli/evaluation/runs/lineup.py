"""Runs side by side: the models of all of them, each with its distance from the retrained one."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import Literal

from speu_cli.errors import ArtifactError
from speu_cli.evaluation.forgetting import Forgetting
from speu_cli.evaluation.gaps import gaps
from speu_cli.evaluation.metric import Metric
from speu_cli.evaluation.noise import inside_noise, noise
from speu_cli.evaluation.report.visible import visible
from speu_cli.evaluation.runs.attacked import made_differently, without
from speu_cli.evaluation.runs.run import SETS, Measured, Run
from speu_cli.evaluation.runs.sides import Common, common_sides

Kind = Literal["original", "reference", "run"]
LONGEST_NAME = 80  # of a row: kind and name of a run
ORIGINAL: Kind = "original"
REFERENCE: Kind = "reference"
RUN: Kind = "run"


@dataclass(frozen=True)
class ComparedModel:
    """A model of the comparison.

    Attributes:
        name: Of the run, or ``original`` or ``reference``; where runs differ about these, with a run's name.
        kind: ``run``, ``original`` or ``reference``.
        runs: Names of the runs that measured it.
        metrics: What they found; of several retrained models the means.
        against: Name of the retrained model that it is compared with; None without one.
        gaps: Distance from it in points, by metric and on average.
        noise: Distance between two retrained models in points; None of fewer than two.
        inside_noise: Which gaps are no larger than the noise.
        forgetting: What the request changed that made it, if that is recorded.
        seconds: Time of that request, or of a training, if its result was given.
    """

    name: str
    kind: Kind
    runs: list[str]
    metrics: Mapping[str, Metric]
    against: str | None = None
    gaps: dict[str, float] | None = None
    noise: dict[str, float] | None = None
    inside_noise: dict[str, bool | None] | None = None
    forgetting: Forgetting | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Lineup:
    """All models, and what to know of them.

    Attributes:
        models: Originals, retrained models, runs.
        notes: Sentences on what does not agree.
        left_out: By attack, why its figures are not there.
    """

    models: list[ComparedModel]
    notes: list[str]
    left_out: dict[str, str]


def line_up(runs: Sequence[Run]) -> Lineup:
    """Lay runs side by side.

    Args:
        runs: At least one; of different names.

    Returns:
        Their models. Where all runs that name a retrained model agree about it, a run that names none is
        compared with it too. Figures of attacks that runs made with other settings are left out.
    """
    for one, other in combinations(runs, 2):
        require_comparable(one, other)
    left_out = made_differently(runs)
    runs = [without(run, left_out) for run in runs]
    originals = common_sides((run.name, run.original) for run in runs)
    references = common_sides((run.name, run.reference) for run in runs)
    names = {run: name for name, common in _named(REFERENCE, references) for run in common.runs}
    sides = dict(_named(REFERENCE, references))
    only = next(iter(sides)) if len(sides) == 1 else None

    def beside(model: ComparedModel) -> ComparedModel:
        against = names.get(model.runs[0], only)
        return model if against is None else _compared(model, against, sides[against])

    models = [
        ComparedModel(name, ORIGINAL, one.runs, one.side.metrics) for name, one in _named(ORIGINAL, originals)
    ]
    models += [
        ComparedModel(run.name, RUN, [run.name], run.model.metrics, forgetting=run.forgetting) for run in runs
    ]
    compared = [beside(model) for model in models]
    retrained = [ComparedModel(name, REFERENCE, one.runs, one.side.metrics) for name, one in sides.items()]
    return Lineup(
        models=[*compared[: len(originals)], *retrained, *compared[len(originals) :]],
        notes=[
            *_differing("original model", ORIGINAL, originals),
            *_differing("retrained model", REFERENCE, references),
            *_of_runs(runs, only),
            *left_out.values(),
        ],
        left_out=left_out,
    )


def require_comparable(one: Run, other: Run) -> None:
    """Refuse runs that did not measure the same thing.

    Args:
        one: A run.
        other: Another.

    Raises:
        ArtifactError: They are of another task, or measured other rows, or read them in another way.
    """
    why = next(_differences(one.measured, other.measured), None)
    if why is not None:
        raise ArtifactError(
            f"{one.source} and {other.source} cannot be compared: {why}",
            hint="evaluate both models with the same --data, --forget, --test, --max-remaining, --seed and "
            "--generate",
        )


def _differences(one: Measured, other: Measured) -> Iterator[str]:
    mine, theirs = asdict(one), asdict(other)
    for name, words in (("task", "tasks"), ("score", "scores"), ("encoding", "settings of the encoding")):
        if mine[name] != theirs[name]:
            yield f"other {words}: {_told(mine[name])} and {_told(theirs[name])}"
    lengths = [one.answer_tokens, other.answer_tokens]
    if None not in lengths and lengths[0] != lengths[1]:
        yield f"answers of at most {lengths[0]} and {lengths[1]} tokens"
    for place in SETS:
        if one.sizes[place] != other.sizes[place]:
            yield f"{place} sets of other sizes: {one.sizes[place]:,} and {other.sizes[place]:,}"
    for place in SETS:
        if one.rows[place] != other.rows[place]:
            hashes = [measured.rows[place][:12] for measured in (one, other)]
            yield f"other rows as {place} set: sha256 {hashes[0]}… and {hashes[1]}…"


def _told(value: object) -> str:
    text = ", ".join(f"{name} {one}" for name, one in value.items()) if isinstance(value, dict) else value
    return visible(str(text), 2 * LONGEST_NAME)


def _named(kind: Kind, sides: Sequence[Common]) -> list[tuple[str, Common]]:
    if len(sides) == 1:
        return [(kind, sides[0])]
    return [(f"{kind} of {one.runs[0]}", one) for one in sides]


def _compared(model: ComparedModel, against: str, reference: Common) -> ComparedModel:
    distances, floor = gaps(model.metrics, reference.side.metrics), noise(reference.side.each)
    inside = None if floor is None else inside_noise(distances, floor)
    return replace(model, against=against, gaps=distances, noise=floor, inside_noise=inside)


def _differing(words: str, kind: Kind, sides: Sequence[Common]) -> list[str]:
    if len(sides) <= 1:
        return []
    each = "; ".join(f"{_shown([name])} in {_shown(one.runs)}" for name, one in _named(kind, sides))
    return [f"the runs do not agree about the {words}, so each is shown: {each}"]


def _of_runs(runs: Sequence[Run], only: str | None) -> list[str]:
    notes = []
    if only is not None and (without := [run.name for run in runs if run.reference is None]):
        notes.append(f"compared with the retrained model of the other runs: {_shown(without)}")
    seeds = sorted({run.seed for run in runs})
    if len(seeds) > 1:
        told = ", ".join(map(str, seeds))
        notes.append(f"the runs have other seeds, so the membership attack was fitted on other draws: {told}")
    by_weights: dict[str, list[str]] = {}
    for run in runs:
        by_weights.setdefault(run.model.weights[0], []).append(run.name)
    notes += [f"the same model: {_shown(same)}" for same in by_weights.values() if len(same) > 1]
    return notes


def _shown(names: Sequence[str]) -> str:
    return ", ".join(visible(name, LONGEST_NAME) for name in names)
