"""Everything that ``speu eval`` asks of its models, one of them after the other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from speu_cli.evaluation.language_membership import privacy_leak
from speu_cli.evaluation.metric import Metric
from speu_cli.evaluation.metrics import measure
from speu_cli.evaluation.noise import mean_of_references
from speu_cli.stages.attacks import Attacked, Attacks
from speu_cli.stages.measuring import Measuring
from speu_cli.stages.session import Session
from speu_cli.stages.tofu import Tofu


@dataclass(frozen=True)
class Examination:
    """What is asked of each model.

    Attributes:
        measuring: The three sets.
        tofu: Questions with wrong answers; may be none.
        attacks: What is tried on the model afterwards; may be nothing.
        attacked: What that found, of each model so far.
    """

    measuring: Measuring
    tofu: Tofu
    attacks: Attacks
    attacked: dict[str, Attacked] = field(default_factory=dict)

    def ask(self, session: Session, name: str) -> None:
        """Ask a model everything; it is not needed afterwards."""
        self.tofu.ask(session, name)
        encoded = self.measuring.run(session, name)
        self.attacked[name] = self.attacks.on(session, name, encoded)

    def metrics(
        self, references: Sequence[str], *, score_name: str, seed: int
    ) -> dict[str, dict[str, Metric]]:
        """Measure every model that was asked.

        Args:
            references: Names of the retrained models; may be none.
            score_name: The task's score.
            seed: Of the membership attacks.

        Returns:
            By model and name.
        """
        under_attack = self.attacks.metrics(self.attacked, score_name)
        measured = {
            name: {
                **measure(**found, score_name=score_name, seed=seed),
                **self.tofu.metrics(name),
                **under_attack[name],
            }
            for name, found in self.measuring.outcomes.items()
        }
        if references:
            _add_privacy_leak(measured, mean_of_references([measured[name] for name in references]))
        return measured


def _add_privacy_leak(measured: Mapping[str, dict[str, Metric]], retrained: Mapping[str, Metric]) -> None:
    for metrics in measured.values():
        metrics.update(privacy_leak(metrics, retrained))
