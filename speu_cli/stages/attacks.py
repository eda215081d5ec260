"""Attacks of ``speu eval``: a model is trained, rounded or asked in other words, and measured once more."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from speu_cli.checkpoints.borrowed import borrowed
from speu_cli.checkpoints.quantized import SCHEMES, Precision, quantize
from speu_cli.data.examples import Examples
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
from speu_cli.stages.attack_choice import AttackChoice
from speu_cli.stages.attack_sets import divided, read_paraphrases
from speu_cli.stages.evaluation_identity import hash_rows
from speu_cli.stages.session import Session
from speu_cli.tasks.encoded import Encoded
from speu_cli.unlearning.relearning import LEARNING_RATE, RelearningSettings, relearn


@dataclass(frozen=True)
class Relearned:
    """How what was forgotten came back.

    Attributes:
        shown: Forgotten examples that were trained on.
        held_back: The others, which were measured.
        rows: SHA-256 of the rows that were trained on.
        steps: Of the training.
        learning_rate: Of the training.
        level: The loss at which half of what was forgotten is back; NaN without the original model.
        curves: Of each model.
    """

    shown: int
    held_back: int
    rows: str
    steps: int
    learning_rate: float
    level: float
    curves: Mapping[str, Curve]


@dataclass(frozen=True)
class Paraphrased:
    """Forgotten examples in other words.

    Attributes:
        examples: How many there were.
        missing: Forgotten examples without.
        rows: SHA-256 of their rows.
    """

    examples: int
    missing: int
    rows: str


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
        forgotten: Number of forgotten examples.
        seed: Of the membership attack.
        shown: Forgotten examples to train on; the same for all models.
        held_back: The other ones.
        paraphrases: Forgotten examples in other words.
    """

    choice: AttackChoice
    forgotten: int
    seed: int
    shown: Examples | None
    held_back: Examples | None
    paraphrases: Examples | None

    def on(self, session: Session, name: str, encoded: Mapping[str, Encoded]) -> Attacked:
        """Attack a model in memory; afterwards its weights are what they were.

        Args:
            session: The model.
            name: What the progress calls it.
            encoded: The sets as it reads them.

        Returns:
            What was found.
        """
        metrics: dict[str, Metric] = {}
        for precision in dict.fromkeys(self.choice.quantize):
            metrics |= under_attack(precision, self._quantized(session, name, encoded, precision))
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
        if self.shown is not None and self.held_back is not None and self.training is not None:
            relearned = Relearned(
                shown=len(self.shown),
                held_back=len(self.held_back),
                rows=hash_rows(self.shown),
                steps=self.training.steps,
                learning_rate=self.training.learning_rate,
                level=_level(attacked),
                curves={model: found.curve for model, found in attacked.items() if found.curve is not None},
            )
        if self.paraphrases is not None:
            count = len(self.paraphrases)
            paraphrased = Paraphrased(count, self.forgotten - count, hash_rows(self.paraphrases))
        return AttackResult(relearned, paraphrased) if relearned or paraphrased else None

    @property
    def training(self) -> RelearningSettings | None:
        """How relearning trains; None without."""
        if self.choice.relearn is None:
            return None
        return RelearningSettings(self.choice.relearn, self.choice.relearn_rate or LEARNING_RATE)

    def _quantized(
        self, session: Session, name: str, encoded: Mapping[str, Encoded], precision: Precision
    ) -> dict[str, Metric]:
        with borrowed(session.checkpoint.model):
            quantize(session.checkpoint.model, SCHEMES[precision])
            found = {
                part: session.outcomes(rows, f"{name}, {precision}: {part} set")
                for part, rows in encoded.items()
            }
        return measure_changed(**found, score_name=session.task.score_name, seed=self.seed)

    def _relearned(self, session: Session, name: str) -> Curve | None:
        if self.shown is None or self.held_back is None or self.training is None:
            return None
        shown, held_back = session.encode(self.shown), session.encode(self.held_back)
        model, runtime = session.checkpoint.model, session.runtime
        with borrowed(model):
            steps = relearn(
                model,
                session.task,
                shown,
                self.training,
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
        shown, held_back = divided(sets["forget"], choice.relearn_examples, seed)
    if choice.paraphrases is not None:
        paraphrases = read_paraphrases(session, choice.paraphrases, sets["forget"])
    return Attacks(choice, len(sets["forget"]), seed, shown, held_back, paraphrases)


def _level(attacked: Mapping[str, Attacked]) -> float:
    curves = {model: found.curve for model, found in attacked.items()}
    of_model = curves["model"]
    return math.nan if of_model is None else level_between(of_model, curves.get("original"))
