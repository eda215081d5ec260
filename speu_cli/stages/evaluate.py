"""``speu eval``: did it forget, and is everything else still there?"""

import resource
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from speu_cli.data.columns import DataChoice
from speu_cli.data.examples import Examples
from speu_cli.data.ids import forget_and_remaining, read_ids
from speu_cli.data.selection import sample_flags, select_training
from speu_cli.errors import ArtifactError
from speu_cli.evaluation.gaps import gaps
from speu_cli.evaluation.gates import GateResult, check, parse
from speu_cli.evaluation.metric import Metric
from speu_cli.evaluation.metrics import measure
from speu_cli.stages.attack_choice import AttackChoice
from speu_cli.stages.attacks import AttackResult, prepare
from speu_cli.stages.runtime import Runtime
from speu_cli.stages.session import Session, open_session, recorded_settings
from speu_cli.tasks.outcomes import Outcomes
from speu_cli.tasks.settings import EncodingSettings

SETS = ("forget", "remaining", "test")


@dataclass(frozen=True)
class EvaluateResult:
    """What was measured; fractions lie in 0 … 1, gaps are in points (hundredths).

    Attributes:
        model: Metrics of the model.
        original: Metrics of the model before, if it was given.
        reference: Metrics of the retrained model, if it was given.
        gaps: Distance from the reference, by metric and on average.
        gates: Whether the requirements are met.
        forget_examples: Size of D_f.
        remaining_examples: Examples of D_r that were measured.
        test_examples: Size of the test set.
        seconds: Time of the measurement.
        peak_memory_bytes: Largest memory of the process so far, of the device where it has its own.
        evidence: What the metrics were made of; no part of :meth:`as_json`.
        attacks: What attacks found beyond metrics, if some were tried.
    """

    model: dict[str, Metric]
    original: dict[str, Metric] | None
    reference: dict[str, Metric] | None
    gaps: dict[str, float] | None
    gates: list[GateResult]
    forget_examples: int
    remaining_examples: int
    test_examples: int
    seconds: float
    peak_memory_bytes: int
    evidence: "Evidence" = field(repr=False)
    attacks: AttackResult | None = None

    def as_json(self) -> dict[str, object]:
        """What is published: every field but the evidence, and whether all gates are met."""
        fields = {name: value for name, value in vars(self).items() if name != "evidence"}
        return {"passed": self.passed, **fields}

    @property
    def passed(self) -> bool:
        """Every gate is met."""
        return all(gate.passed for gate in self.gates)


@dataclass(frozen=True)
class Evidence:
    """What the metrics were made of, example by example.

    Attributes:
        sets: ``forget``, ``remaining`` (those that were measured) and ``test`` with their examples.
        outcomes: Of each model that was given (``model``, ``original``, ``reference``) on each set.
    """

    sets: Mapping[str, Examples]
    outcomes: Mapping[str, Mapping[str, Outcomes]]


def evaluate(
    model: Path,
    data: str,
    forget: str,
    test: str,
    *,
    original: Path | None = None,
    reference: Path | None = None,
    exclude: str | None = None,
    max_remaining: int | None = None,
    seed: int = 0,
    generate: int | None = None,
    attacks: AttackChoice | None = None,
    require: Sequence[str] = (),
    choice: DataChoice | None = None,
    runtime: Runtime | None = None,
) -> EvaluateResult:
    """Measure a model on the forget, remaining and test sets.

    Args:
        model: Folder of the model after the request.
        data: The training set.
        forget: Id list of the forget set.
        test: The test set.
        original: Folder of the model before.
        reference: Folder of a model retrained without the forget set.
        exclude: Id list of rows that were not in the training set.
        max_remaining: Measure on a random sample of D_r of this size.
        seed: Of the sample and of the attacks.
        generate: For language models: also compare what they answer, in at most so many tokens, with the
            right answers.
        attacks: Also attack each model, and measure it once more. Default: not.
        require: Conditions such as ``testing_accuracy>=0.84``.
        choice: Columns, split, task and length; must agree with what the models record.
        runtime: Device, batch size, progress.

    Returns:
        What was measured.
    """
    runtime = runtime or Runtime()
    started = time.perf_counter()
    gates = [parse(expression) for expression in require]
    models = {"model": model, "original": original, "reference": reference}
    given = {name: folder for name, folder in models.items() if folder is not None}
    recorded = _common_settings(list(given.values()))
    # One model at a time is in memory; the first one says how the sets are read.
    first = open_session(model, choice or DataChoice(), runtime, recorded=recorded, source=str(model))
    sets = _read_sets(first, data, forget, test, exclude, max_remaining, seed)
    score_name = first.task.score_name
    tried = prepare(attacks or AttackChoice(), first, sets, seed)
    outcomes = {"model": _outcomes(first, sets, "model", generate)}
    attacked = {"model": tried.on(first, "model")}
    del first
    for name, folder in given.items():
        if name not in outcomes:
            session = open_session(
                folder, choice or DataChoice(), runtime, recorded=recorded, source=str(folder)
            )
            outcomes[name] = _outcomes(session, sets, name, generate)
            attacked[name] = tried.on(session, name)
    under_attack = tried.metrics(attacked, score_name)
    measured = {
        name: {
            **measure(*(found[part] for part in SETS), score_name=score_name, seed=seed),
            **under_attack[name],
        }
        for name, found in outcomes.items()
    }
    distances = gaps(measured["model"], measured["reference"]) if "reference" in measured else None
    return EvaluateResult(
        model=measured["model"],
        original=measured.get("original"),
        reference=measured.get("reference"),
        gaps=distances,
        gates=check(gates, {**measured["model"], **(distances or {})}),
        forget_examples=len(sets["forget"]),
        remaining_examples=len(sets["remaining"]),
        test_examples=len(sets["test"]),
        seconds=time.perf_counter() - started,
        peak_memory_bytes=peak_memory(runtime.device),
        evidence=Evidence(sets, outcomes),
        attacks=tried.result(attacked),
    )


def _common_settings(folders: Sequence[Path]) -> EncodingSettings | None:
    """Find the encoding settings that the models record; models without a record go along.

    Returns:
        The settings; None if no model records any.

    Raises:
        ArtifactError: Two models record different ones.
    """
    known = {folder: settings for folder in folders if (settings := recorded_settings(folder)) is not None}
    first = next(iter(known), None)
    for folder, settings in known.items():
        if first is not None and settings != known[first]:
            raise ArtifactError(
                f"{first} and {folder} record different encoding settings: {known[first]} and {settings}",
                hint="compare models that were made from the same data with the same settings",
            )
    return known[first] if first is not None else None


def _read_sets(
    session: Session,
    data: str,
    forget: str,
    test: str,
    exclude: str | None,
    max_remaining: int | None,
    seed: int,
) -> dict[str, Examples]:
    training = select_training(session.read(data), ids=None, exclude=read_ids(exclude) if exclude else None)
    forgotten, remaining = forget_and_remaining(training, read_ids(forget), forget)
    sample = np.flatnonzero(sample_flags(len(remaining), max_remaining, seed)).tolist()
    sampled = remaining.select([remaining.ids[position] for position in sample])
    return {"forget": forgotten, "remaining": sampled, "test": session.read_like(training, test)}


def _outcomes(
    session: Session, sets: Mapping[str, Examples], name: str, most_tokens: int | None
) -> dict[str, Outcomes]:
    def of(part: str, examples: Examples) -> Outcomes:
        encoded = session.encode(examples)
        found = session.outcomes(encoded, f"{name}: {part} set")
        if most_tokens is None:
            return found
        return replace(found, answers={**found.answers, "rouge_l": session.recalls(encoded, most_tokens)})

    return {part: of(part, examples) for part, examples in sets.items()}


def peak_memory(device: str) -> int:
    """Largest memory so far in bytes: of the device where it has its own, else of this process."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
