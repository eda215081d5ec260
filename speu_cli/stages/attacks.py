"""Attacks of ``speu eval``: a model is trained, rounded or asked in other words, and measured once more."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from speu_cli.checkpoints.borrowed import borrowed
from speu_cli.checkpoints.quantized import SCHEMES, Precision, quantize
from speu_cli.data.examples import SHOWN_IDS, Examples
from speu_cli.data.selection import sample_flags
from speu_cli.errors import InputError
from speu_cli.evaluation.attack_names import PARAPHRASE, under_attack
from speu_cli.evaluation.attacks import (
    Curve,
    curve,
    level_between,
    measure_changed,
    measure_forgotten,
    of_relearning,
)
from speu_cli.evaluation.metric import Metric
from speu_cli.stages.session import Session
from speu_cli.tasks.settings import without_ids
from speu_cli.unlearning.relearning import LEARNING_RATE, RelearningSettings, relearn, shown_by_default

FEWEST_FORGOTTEN = 2  # one to train on, one to measure


@dataclass(frozen=True)
class AttackChoice:
    """Which attacks are tried on each model; none by default.

    Attributes:
        relearn: Train for so many steps on a few of the forgotten examples.
        relearn_examples: On how many. Default: a tenth of them, at least 8, at most half.
        relearn_rate: Learning rate of it. Default: 5e-5.
        quantize: Round the weights to these.
        paraphrases: Source of forgotten examples in other words, with their ids.
    """

    relearn: int | None = None
    relearn_examples: int | None = None
    relearn_rate: float | None = None
    quantize: Sequence[Precision] = ()
    paraphrases: str | None = None

    def require_possible(self) -> None:
        """Refuse what cannot be done with any data.

        Raises:
            InputError: A number is out of its range, an option lacks the one that it belongs to, or there is
                no such precision.
        """
        if self.relearn is None and (self.relearn_examples, self.relearn_rate) != (None, None):
            raise InputError("--relearn-examples and --relearn-rate belong to --relearn, which is not given")
        for name, number in (("relearn", self.relearn), ("relearn-examples", self.relearn_examples)):
            if number is not None and number < 1:
                raise InputError(f"--{name} is {number}, expected at least 1")
        rate = self.relearn_rate
        if rate is not None and not (math.isfinite(rate) and rate > 0):
            raise InputError(f"--relearn-rate is {rate}, expected a finite number above 0")
        for precision in self.quantize:
            if precision not in SCHEMES:
                raise InputError(f"--quantize is {precision!r}, expected one of {', '.join(SCHEMES)}")


@dataclass(frozen=True)
class Relearned:
    """How what was forgotten came back.

    Attributes:
        shown: Forgotten examples that were trained on.
        held_back: The others, which were measured.
        learning_rate: Of the training.
        level: The loss at which half of what was forgotten is back; NaN without the original model.
        curves: Of each model.
    """

    shown: int
    held_back: int
    learning_rate: float
    level: float
    curves: Mapping[str, Curve]


@dataclass(frozen=True)
class Paraphrased:
    """Forgotten examples in other words.

    Attributes:
        examples: How many there were.
        missing: Forgotten examples without.
    """

    examples: int
    missing: int


@dataclass(frozen=True)
class AttackResult:
    """What attacks found beyond metrics.

    Attributes:
        relearned: Of ``relearn``.
        paraphrased: Of ``paraphrases``.
    """

    relearned: Relearned | None
    paraphrased: Paraphrased | None


@dataclass(frozen=True)
class Attacked:
    """One model under attack.

    Attributes:
        metrics: By their names, those of relearning aside.
        curve: Of relearning; None without.
    """

    metrics: Mapping[str, Metric]
    curve: Curve | None


@dataclass(frozen=True)
class Attacks:
    """The attacks that are tried on each model in turn, with what they need.

    Attributes:
        choice: Which.
        sets: ``forget``, ``remaining`` and ``test``.
        seed: Of the membership attack.
        shown: Forgotten examples to train on; the same for all models.
        held_back: The other ones.
        paraphrases: Forgotten examples in other words.
    """

    choice: AttackChoice
    sets: Mapping[str, Examples]
    seed: int
    shown: Examples | None
    held_back: Examples | None
    paraphrases: Examples | None

    def on(self, session: Session, name: str) -> Attacked:
        """Attack a model in memory; afterwards its weights are what they were.

        Args:
            session: The model.
            name: What the progress calls it.

        Returns:
            What was found.
        """
        metrics: dict[str, Metric] = {}
        for precision in dict.fromkeys(self.choice.quantize):
            metrics |= under_attack(precision, self._quantized(session, name, precision))
        if self.paraphrases is not None:
            found = session.outcomes(session.encode(self.paraphrases), f"{name}: paraphrases")
            metrics |= under_attack(PARAPHRASE, measure_forgotten(found, session.task.score_name))
        return Attacked(metrics, self._relearned(session, name))

    def metrics(self, attacked: Mapping[str, Attacked], score_name: str) -> dict[str, dict[str, Metric]]:
        """Gather the metrics of each model.

        Args:
            attacked: By model; ``model`` is the one in question, ``original`` the one before the request.
            score_name: The task's score.

        Returns:
            By model and name.
        """
        level = _level(attacked)
        return {
            model: {
                **found.metrics,
                **({} if found.curve is None else of_relearning(found.curve, level, score_name)),
            }
            for model, found in attacked.items()
        }

    def result(self, attacked: Mapping[str, Attacked]) -> AttackResult | None:
        """What is told beyond the metrics; None without such attacks."""
        relearned = paraphrased = None
        if self.shown is not None and self.held_back is not None:
            rate = self.choice.relearn_rate or LEARNING_RATE
            curves = {model: found.curve for model, found in attacked.items() if found.curve is not None}
            relearned = Relearned(len(self.shown), len(self.held_back), rate, _level(attacked), curves)
        if self.paraphrases is not None:
            count = len(self.paraphrases)
            paraphrased = Paraphrased(count, len(self.sets["forget"]) - count)
        return AttackResult(relearned, paraphrased) if relearned or paraphrased else None

    def _quantized(self, session: Session, name: str, precision: Precision) -> dict[str, Metric]:
        with borrowed(session.checkpoint.model):
            quantize(session.checkpoint.model, SCHEMES[precision])
            found = {
                part: session.outcomes(session.encode(examples), f"{name}, {precision}: {part} set")
                for part, examples in self.sets.items()
            }
        return measure_changed(**found, score_name=session.task.score_name, seed=self.seed)

    def _relearned(self, session: Session, name: str) -> Curve | None:
        if self.shown is None or self.held_back is None or self.choice.relearn is None:
            return None
        shown, held_back = session.encode(self.shown), session.encode(self.held_back)
        model, runtime = session.checkpoint.model, session.runtime
        with borrowed(model):
            steps = relearn(
                model,
                session.task,
                shown,
                RelearningSettings(self.choice.relearn, self.choice.relearn_rate or LEARNING_RATE),
                batch_tokens=runtime.batch_tokens,
                progress=runtime.progress,
                description=f"{name}: relearning",
            )
            seen = [
                (step, session.outcomes(held_back, f"{name}: relearnt in {step} steps")) for step in steps
            ]
        return curve(seen, session.task.score_name)


def prepare(choice: AttackChoice, session: Session, sets: Mapping[str, Examples], seed: int) -> Attacks:
    """Settle what the attacks use, before anything is measured.

    Args:
        choice: Which attacks.
        session: Says how examples are read.
        sets: ``forget``, ``remaining`` and ``test``.
        seed: Of the draw of the examples to train on, and of the membership attack.

    Returns:
        The attacks.
    """
    choice.require_possible()
    shown = held_back = paraphrases = None
    if choice.relearn is not None:
        shown, held_back = _divided(sets["forget"], choice.relearn_examples, seed)
    if choice.paraphrases is not None:
        paraphrases = _read_paraphrases(session, choice.paraphrases, sets["forget"])
    return Attacks(choice, sets, seed, shown, held_back, paraphrases)


def _divided(forgotten: Examples, count: int | None, seed: int) -> tuple[Examples, Examples]:
    """Draw the examples to train on.

    Returns:
        They, and the others.

    Raises:
        InputError: None would be left to train on or to measure.
    """
    if len(forgotten) < FEWEST_FORGOTTEN:
        raise InputError(f"--relearn: got 1 forgotten example, expected at least {FEWEST_FORGOTTEN}")
    wanted = shown_by_default(len(forgotten)) if count is None else count
    if wanted >= len(forgotten):
        raise InputError(
            f"--relearn-examples is {wanted}, expected less than the {len(forgotten)} forgotten examples: "
            "it is measured on the others"
        )
    drawn = np.flatnonzero(sample_flags(len(forgotten), wanted, seed)).tolist()
    ids = [forgotten.ids[position] for position in drawn]
    return forgotten.select(ids), forgotten.without(ids)


def _read_paraphrases(session: Session, source: str, forgotten: Examples) -> Examples:
    """Read forgotten examples in other words.

    Returns:
        Those that there are.

    Raises:
        InputError: They have no ids, or an id that no forgotten example has.
    """
    columns = without_ids(session.choice, forgotten.columns)
    own_ids = session.choice.id_column or None  # row numbers of the data say nothing of these rows
    session = replace(session, choice=replace(columns, id_column=own_ids))
    found = session.read(source)
    if found.columns.id is None:
        raise InputError(
            f"{source}: no id column, expected the ids of the forgotten examples that the rows paraphrase"
        )
    known = set(forgotten.ids)
    unknown = [one for one in found.ids if one not in known]
    if unknown:
        shown = ", ".join(map(repr, unknown[:SHOWN_IDS])) + (", …" if len(unknown) > SHOWN_IDS else "")
        raise InputError(f"{source}: {len(unknown)} of {len(found)} ids are not in the forget set: {shown}")
    return found


def _level(attacked: Mapping[str, Attacked]) -> float:
    curves = {model: found.curve for model, found in attacked.items()}
    of_model = curves["model"]
    return math.nan if of_model is None else level_between(of_model, curves.get("original"))
