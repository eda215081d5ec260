"""The measures of TOFU inside ``speu eval``: questions with right and wrong answers, asked of each model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from speu_cli.data.columns import CAUSAL_LM, Columns
from speu_cli.data.examples import Examples
from speu_cli.data.sources.perturbed import PerturbedExamples, load_perturbed
from speu_cli.errors import InputError
from speu_cli.evaluation.metric import Metric
from speu_cli.evaluation.tofu.measure import OFFERED, SETS, Floats, Perturbed, measure_tofu
from speu_cli.stages.session import Session

MOST_TOKENS = 200  # of an answer, as published


@dataclass(frozen=True)
class Tofu:
    """Sets of questions, and what the models that were asked made of them.

    Attributes:
        questions: By a name of ``SETS``; may be none.
        most_tokens: Of an answer.
        found: Of each model that was asked, on each set.
    """

    questions: Mapping[str, PerturbedExamples]
    most_tokens: int
    found: dict[str, dict[str, Perturbed]] = field(default_factory=dict)

    def ask(self, session: Session, model: str) -> None:
        """Ask a model all questions.

        Args:
            session: The model.
            model: What messages and :meth:`metrics` call it.
        """
        self.found[model] = {
            name: _asked(session, asked, self.most_tokens, f"{model}: perturbed {name}")
            for name, asked in self.questions.items()
        }

    def metrics(self, model: str, reference: str = "reference") -> dict[str, Metric]:
        """Measure a model that was asked, beside a reference if that was asked too; nothing without sets."""
        return measure_tofu(self.found[model], self.found.get(reference))


def open_tofu(
    sources: Mapping[str, str], session: Session, like: Columns, most_tokens: int | None = None
) -> Tofu:
    """Read all questions, before the first is asked: a row that lacks something is told at once.

    Args:
        sources: Where they are, by a name of ``SETS``; may be none.
        session: Says how rows are read.
        like: Columns of the training set.
        most_tokens: Of an answer. Default: 200.

    Returns:
        The questions.

    Raises:
        InputError: The model is no language model, or there is no set of that name.
    """
    if sources and session.task.name != CAUSAL_LM:
        raise InputError(f"--perturbed is for {CAUSAL_LM}, but the task is {session.task.name}")
    odd = [name for name in sources if name not in SETS]
    if odd:
        raise InputError(f"--perturbed {odd[0]}: no such set, expected one of {', '.join(SETS)}")
    questions = {
        name: load_perturbed(source, session.choice, like, in_other_words=name not in OFFERED)
        for name, source in sources.items()
    }
    return Tofu(questions, most_tokens or MOST_TOKENS)


def _asked(session: Session, asked: PerturbedExamples, most_tokens: int, description: str) -> Perturbed:
    own = session.encode(asked.examples)
    wrong: list[list[float]] = [[] for _ in asked.wrong]
    for number in range(max(map(len, asked.wrong))):
        having = [i for i, answers in enumerate(asked.wrong) if len(answers) > number]
        others = _answered(asked.examples, having, [asked.wrong[i][number] for i in having])
        told = f"{description} set, wrong answers {number + 1}"
        for i, loss in zip(having, _losses(session, others, told), strict=True):
            wrong[i].append(float(loss))
    everyone = range(len(asked.examples))
    return Perturbed(
        losses=session.losses(own, f"{description} set"),
        right=_losses(
            session, _answered(asked.examples, everyone, asked.right), f"{description} set, in other words"
        ),
        wrong=[np.array(losses) for losses in wrong],
        recalls=session.recalls(own, most_tokens),
    )


def _losses(session: Session, examples: Examples, description: str) -> Floats:
    return session.losses(session.encode(examples), description)


def _answered(examples: Examples, positions: Sequence[int], answers: Sequence[str]) -> Examples:
    """The questions at these positions with other answers."""
    rows = [replace(examples[i], label=answer) for i, answer in zip(positions, answers, strict=True)]
    return Examples(rows, source=examples.source, columns=examples.columns)
