"""Measure a step by the criterion: what was forgotten looks unseen, and nothing else got worse."""

from dataclasses import dataclass, field

from speu_cli.evaluation.per_example import goodness, shortfall
from speu_cli.stages.request import ForgetSet
from speu_cli.stages.session import Session
from speu_cli.tasks.encoded import Encoded
from speu_cli.tasks.margins import Floats
from speu_cli.tasks.outcomes import Outcomes
from speu_cli.unlearning.criterion import Check, balance_kept, less_data, looks_unseen, not_worse, reached

UNSEEN = "heldout"
FEWEST = 2  # of fewer examples there is no standard error


@dataclass(frozen=True)
class Acceptance:
    """The criterion of a request, with what the model answered before.

    Attributes:
        session: The model.
        forget: The forget set.
        others: Sets that should be answered as well as before, by name; those of unseen examples as well as
            by a model that was trained on fewer.
        width: Standard errors that a change may have.
        before: What the model answered on them before the step.
    """

    session: Session
    forget: ForgetSet
    others: dict[str, Encoded]
    width: float
    before: dict[str, Outcomes] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "before", self._answers("before"))

    def checks(self, aims: Floats) -> list[Check]:
        """Measure the model as it is now.

        Args:
            aims: Margins that the forget set should have, ``[n_f]``.

        Returns:
            What was found.
        """
        margins = self.session.task.margins
        after = margins.of(self.session.losses(self.forget.encoded, "forget losses"))
        before = margins.of(self.forget.losses)
        found = [looks_unseen(before, after, aims), reached(before, after, aims)]
        for name, now in self._answers("after").items():
            first, score = self.before[name], self.session.task.score_name
            rated = goodness(score, first), goodness(score, now)
            allowed = less_data(shortfall(score, first), self._share) if name == UNSEEN else 0.0
            found.append(not_worse(name, *rated, self.width, allowed))
            if score == "accuracy":
                classes = (first.answers["predictions"], now.answers["predictions"])
                found.append(balance_kept(name, *classes, self.width))
        return found

    @property
    def _share(self) -> float:
        """Of the training set, which is to be forgotten."""
        return len(self.forget.encoded) / len(self.forget.training)

    def _answers(self, when: str) -> dict[str, Outcomes]:
        return {
            name: self.session.outcomes(encoded, f"{name} {when}")
            for name, encoded in self.others.items()
            if len(encoded) >= FEWEST
        }
