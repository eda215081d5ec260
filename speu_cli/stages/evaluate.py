"""``speu eval``: did it forget, and is everything else still there?"""

import resource
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from speu_cli.data.columns import DataChoice
from speu_cli.data.examples import Examples
from speu_cli.data.ids import forget_and_remaining, read_ids
from speu_cli.data.selection import sample_flags, select_training
from speu_cli.errors import ArtifactError, InputError
from speu_cli.evaluation.comparison import MODEL, ORIGINAL, compare
from speu_cli.evaluation.definitions.definition import Definition
from speu_cli.evaluation.definitions.lookup import definitions_of
from speu_cli.evaluation.forgetting import Forgetting
from speu_cli.evaluation.gates import GateResult, check
from speu_cli.evaluation.metric import Metric
from speu_cli.stages.attack_choice import AttackChoice
from speu_cli.stages.attacks import AttackResult, prepare
from speu_cli.stages.comparable import common_settings, require_comparable
from speu_cli.stages.evaluation_cost import bytes_read, forgetting
from speu_cli.stages.evaluation_identity import Identity, identity
from speu_cli.stages.examination import Examination
from speu_cli.stages.measuring import Measuring
from speu_cli.stages.requirements import given_options, read_requirements, require_measurable
from speu_cli.stages.runtime import Runtime
from speu_cli.stages.session import Session, open_session
from speu_cli.stages.tofu import open_tofu
from speu_cli.tasks.outcomes import Outcomes

REFERENCE = "reference"


@dataclass(frozen=True)
class EvaluateResult:
    """What was measured; fractions lie in 0 … 1, gaps are in points (hundredths).

    Attributes:
        model: Metrics of the model.
        original: Metrics of the model before, if it was given.
        reference: Metrics of the retrained model, if it was given; of several their means, with
            ``agreement.…`` of each with the others.
        gaps: Distance from the reference, or from the mean of several, by metric and on average.
        gates: Whether the requirements are met.
        forget_examples: Size of D_f.
        remaining_examples: Examples of D_r that were measured.
        test_examples: Size of the test set.
        seconds: Time of the measurement.
        peak_memory_bytes: Largest memory of the process so far, of the device where it has its own.
        identity: Which rows and which models these are.
        evidence: What the metrics were made of; no part of :meth:`as_json`.
        references: Metrics of each retrained model.
        noise: Mean distance between two retrained models, named as the gaps; None of fewer than two.
        inside_noise: By metric, and ``average``: whether the gap is no larger than that.
        bytes_read: Size of the files that were read; None where one is not of this machine.
        forgetting: What the request changed that made the model, as its folder records it.
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
    identity: Identity
    evidence: "Evidence" = field(repr=False)
    references: list[dict[str, Metric]] = field(default_factory=list)
    noise: dict[str, float] | None = None
    inside_noise: dict[str, bool | None] | None = None
    bytes_read: int | None = None
    forgetting: Forgetting | None = None
    attacks: AttackResult | None = None

    def as_json(self) -> dict[str, object]:
        """What is published: every field but the evidence, whether all gates are met, what metrics mean."""
        fields = {name: value for name, value in vars(self).items() if name != "evidence"}
        definitions = {name: one.as_json() for name, one in self.definitions.items()}
        return {"passed": self.passed, "definitions": definitions, **fields}

    @property
    def passed(self) -> bool:
        """Every gate is met."""
        return all(gate.passed for gate in self.gates)

    @property
    def definitions(self) -> dict[str, Definition]:
        """What the metrics that are here mean, gaps and noise included."""
        sides = (self.model, self.original, self.reference, self.gaps, self.noise)
        return definitions_of(name for side in sides for name in side or ())


@dataclass(frozen=True)
class Evidence:
    """What the metrics were made of, example by example.

    Attributes:
        sets: ``forget``, ``remaining`` (those that were measured) and ``test`` with their examples.
        outcomes: Of each model that was given on each set: ``model``, ``original``, ``reference``, and of
            several ``reference-2`` and so on.
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
    reference: Path | Sequence[Path] | None = None,
    exclude: str | None = None,
    max_remaining: int | None = None,
    seed: int = 0,
    generate: int | None = None,
    perturbed: Mapping[str, str] | None = None,
    attacks: AttackChoice | None = None,
    require: Sequence[str] = (),
    policy: Path | None = None,
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
        reference: Folder of a model retrained without the forget set; or of several, from other seeds.
        exclude: Id list of rows that were not in the training set.
        max_remaining: Measure on a random sample of D_r of this size.
        seed: Of the sample and of the attacks.
        generate: For language models: also compare what they answer, in at most so many tokens, with the
            right answers.
        perturbed: For language models: sources of questions with wrong answers, for the measures of TOFU, by
            ``forget``, ``retain``, ``authors`` and ``facts``.
        attacks: Also attack each model, and measure it once more. Default: not.
        require: Conditions such as ``testing_accuracy>=0.84``.
        policy: TOML file of further ones.
        choice: Columns, split, task and length; must agree with what the models record.
        runtime: Device, batch size, progress.

    Returns:
        What was measured.
    """
    runtime, choice = runtime or Runtime(), choice or DataChoice()
    started = time.perf_counter()
    perturbed, attacks = perturbed or {}, attacks or AttackChoice()
    gates = read_requirements(require, policy)
    given = _given(model, original, reference)
    names = [name for name in given if name.startswith(REFERENCE)]
    require_comparable(list(given.values()))
    recorded = common_settings(list(given.values()))
    options = given_options(original, len(names), generate, perturbed, attacks)
    require_measurable(gates, model, choice, recorded, options)
    # One model at a time is in memory; the first one says how the sets are read.
    first = open_session(model, choice, runtime, recorded=recorded, source=str(model))
    sets = _read_sets(first, data, forget, test, exclude, max_remaining, seed)
    what = identity(first, sets, seed, generate)
    forgot = forgetting(model, first.checkpoint.model)
    examination = Examination(
        Measuring(sets, generate, keep=bool(names)),
        open_tofu(perturbed, first, sets["forget"].columns, generate),
        prepare(attacks, first, sets, seed),
    )
    examination.ask(first, MODEL)
    what.add(MODEL, first)
    del first
    weights: dict[str, Path] = {}
    for name, folder in list(given.items())[1:]:
        session = open_session(folder, choice, runtime, recorded=recorded, source=str(folder))
        if name in names:
            _require_another(weights, session)
        examination.ask(session, name)
        what.add(name, session)
        del session
    measured = examination.metrics(names, score_name=what.score, seed=seed)
    outcomes = examination.measuring.outcomes
    compared = compare(measured, names, outcomes, examination.measuring.divergences)
    return EvaluateResult(
        model=compared.model,
        original=compared.original,
        reference=compared.reference,
        gaps=compared.gaps,
        gates=check(gates, {**compared.model, **(compared.gaps or {}), **(compared.noise or {})}),
        forget_examples=len(sets["forget"]),
        remaining_examples=len(sets["remaining"]),
        test_examples=len(sets["test"]),
        seconds=time.perf_counter() - started,
        peak_memory_bytes=peak_memory(runtime.device),
        identity=what,
        evidence=Evidence(sets, outcomes),
        references=[measured[name] for name in names],
        noise=compared.noise,
        inside_noise=compared.inside_noise,
        bytes_read=bytes_read(given.values(), (data, forget, test, exclude)),
        forgetting=forgot,
        attacks=examination.attacks.result(examination.attacked),
    )


def _given(model: Path, original: Path | None, reference: Path | Sequence[Path] | None) -> dict[str, Path]:
    """The models by name: ``model``, ``original``, ``reference``, ``reference-2``, …; the first is first."""
    references = [reference] if isinstance(reference, Path) else list(reference or ())
    given = {MODEL: model, **({} if original is None else {ORIGINAL: original})}
    return given | {
        REFERENCE if number == 1 else f"{REFERENCE}-{number}": folder
        for number, folder in enumerate(references, start=1)
    }


def _require_another(weights: dict[str, Path], session: Session) -> None:
    """Refuse the same retrained model twice: how much retraining varies would look like nothing.

    Args:
        weights: Digests and folders of the references so far; this one is added.
        session: The next reference.

    Raises:
        ArtifactError: It has the weights of an earlier one.
    """
    folder, digest = session.checkpoint.folder, session.checkpoint.identity.weights
    if digest in weights:
        raise ArtifactError(
            f"{weights[digest]} and {folder} hold the same weights, "
            "expected models retrained with other seeds",
            hint="retrain with another --seed, or name the reference once",
        )
    weights[digest] = folder


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
    unseen = session.read_like(training, test)
    if not len(unseen):
        raise InputError(f"{test}: got no examples, expected at least one to test with")
    return {"forget": forgotten, "remaining": sampled, "test": unseen}


def peak_memory(device: str) -> int:
    """Largest memory so far in bytes: of the device where it has its own, else of this process."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
