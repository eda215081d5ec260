"""Every metric that an evaluation tells has a definition, and every definition is of one that is told."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tiny_tasks import answering, modelling, pictures, prompts, save, seeing, write_prompts, write_questions

import speu_cli
from speu_cli import AttackChoice, EvaluateResult
from speu_cli.evaluation.definitions.kinds import T
from speu_cli.evaluation.definitions.lookup import DEFINITIONS
from speu_cli.evaluation.definitions.needs import needs
from speu_cli.stages.requirements import given_options
from tiny import tiny_checkpoint, tiny_rows, write_ids, write_rows

ROWS, FORGET = 12, 4
SETS = ("forget", "retain", "authors", "facts")


@dataclass(frozen=True)
class Subject:
    """A task: models by seed, sets by seed, ids of those to forget."""

    model: Callable[[Path, int], object]
    data: Callable[[Path, int], str]
    ids: list[str]


def sentences(outputs: int) -> Callable[[Path, int], str]:
    return lambda folder, seed: str(
        write_rows(folder / f"{seed}.jsonl", tiny_rows(ROWS, seed=seed, outputs=outputs))
    )


SUBJECTS = {
    "classification": Subject(
        lambda folder, seed: tiny_checkpoint(folder, seed=seed),
        sentences(2),
        [f"row-0-{number}" for number in range(FORGET)],
    ),
    "regression": Subject(
        lambda folder, seed: tiny_checkpoint(folder, outputs=1, seed=seed),
        sentences(1),
        [f"row-0-{number}" for number in range(FORGET)],
    ),
    "question-answering": Subject(
        lambda folder, seed: save(folder, answering(seed=seed)),
        lambda folder, seed: write_questions(folder / f"{seed}.jsonl", ROWS, seed=seed, longest=12),
        [f"q-0-{number}" for number in range(FORGET)],
    ),
    "causal-lm": Subject(
        lambda folder, seed: save(folder, modelling(seed=seed)),
        lambda folder, seed: write_prompts(folder / f"{seed}.jsonl", ROWS, seed=seed),
        [f"p-0-{number}" for number in range(FORGET)],
    ),
    "image-classification": Subject(
        lambda folder, seed: save(folder, seeing(seed=seed)),
        lambda folder, seed: str(pictures(folder / str(seed), ROWS, seed=seed)),
        ["apple/0.png", "fig/1.png", "pear/2.png", "apple/3.png"],
    ),
}


def wrong_answers(folder: Path) -> dict[str, str]:
    rows = [
        row | {"paraphrased_answer": "word1", "perturbed_answer": ["word2", "word3"]} for row in prompts(5)
    ]
    return {name: str(write_rows(folder / f"{name}.jsonl", rows)) for name in SETS}


def everything(task: str, data: str, folder: Path) -> dict[str, Any]:
    """All options that the task allows."""
    of_language: dict[str, Any] = {"generate": 2, "perturbed": wrong_answers(folder)}
    # Words of its own for what is forgotten: of a folder of images the folder, of a file its first lines.
    paraphrases = data
    if Path(data).is_file():
        paraphrases = str(folder / "paraphrases.jsonl")
        lines = Path(data).read_text().splitlines(keepends=True)[:FORGET]
        Path(paraphrases).write_text("".join(lines))
    attacks = AttackChoice(
        relearn=1,
        quantize=("int8", "int4"),
        paraphrases=None if task == "image-classification" else paraphrases,
    )
    return {
        "original": folder / "0",
        "reference": [folder / "2", folder / "3"],
        "attacks": attacks,
        **(of_language if task == "causal-lm" else {}),
    }


def told(result: EvaluateResult) -> set[str]:
    return {*result.model, *(result.gaps or {}), *(result.noise or {})}


def defined(task: str, options: dict[str, Any]) -> set[str]:
    """What the definitions say that such an evaluation tells."""
    given = given_options(
        options.get("original"),
        len(options.get("reference", ())),
        options.get("generate"),
        options.get("perturbed", {}),
        options.get("attacks", AttackChoice()),
    )
    return {
        name
        for name, one in DEFINITIONS.items()
        if (not one.tasks or task in one.tasks) and given.issuperset(needs(name))
    }


@pytest.fixture(scope="module", params=SUBJECTS)
def evaluations(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, dict[str, Any], EvaluateResult, EvaluateResult]:
    """The task, all its options, and an evaluation with none and one with all of them."""
    task: str = request.param
    subject, folder = SUBJECTS[task], tmp_path_factory.mktemp(task)
    for seed in range(4):
        subject.model(folder / str(seed), seed)
    data, test = subject.data(folder, 0), subject.data(folder, 1)
    sets = (folder / "1", data, str(write_ids(folder / "ids.txt", subject.ids)), test)
    options = everything(task, data, folder)
    return task, options, speu_cli.evaluate(*sets), speu_cli.evaluate(*sets, **options)


def test_what_is_told_is_what_is_defined(
    evaluations: tuple[str, dict[str, Any], EvaluateResult, EvaluateResult],
) -> None:
    """Both ways: no name without a definition, none that is not told, and nothing needs another option."""
    task, options, plain, whole = evaluations
    assert told(plain) == defined(task, {})
    assert told(whole) == defined(task, options)
    assert set(plain.definitions) == told(plain)
    assert set(whole.definitions) == told(whole)
    for side in (whole.original, whole.reference, *whole.references):
        assert side is not None
        assert set(side) <= DEFINITIONS.keys()


def test_values_lie_in_their_range_and_have_the_interval_that_is_said(
    evaluations: tuple[str, dict[str, Any], EvaluateResult, EvaluateResult],
) -> None:
    result = evaluations[3]
    sides = [result.model, result.original, result.reference]
    for name, metric in (item for side in sides for item in (side or {}).items()):
        definition = DEFINITIONS[name]
        cut = definition.interval != T  # the others' bounds may lie beyond the range
        for value in (metric.value, *((metric.low, metric.high) if cut else ())):
            assert math.isnan(value) or definition.unit.low <= value <= definition.unit.high, name
        if not definition.has_interval:
            assert math.isnan(metric.low), name
    for name, distance in {**(result.gaps or {}), **(result.noise or {})}.items():
        unit = DEFINITIONS[name].unit
        assert math.isnan(distance) or unit.low <= distance <= unit.high, name


def test_every_definition_is_of_a_task_here() -> None:
    named = {task for one in DEFINITIONS.values() for task in one.tasks}
    assert named == set(SUBJECTS)
