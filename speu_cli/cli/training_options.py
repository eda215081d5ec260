"""The options of ``speu unlearn`` that belong to the methods that train."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from speu_cli.cli import values
from speu_cli.cli.options import Method, of_input, of_method
from speu_cli.errors import InputError

if TYPE_CHECKING:
    from speu_cli.unlearning.objectives.registry import ObjectiveChoice, TrainingMethod
    from speu_cli.unlearning.training_choice import TrainingChoice

UnlearnMethod = Literal["spe-so", "so", "ssd", "ft", "sa", "ga", "gd", "npo", "dpo", "retrain"]
STEP_METHODS: Mapping[str, Method] = {"spe-so": "spe-so", "so": "so", "ssd": "ssd"}
OBJECTIVES: Mapping[str, TrainingMethod] = {
    **{"ft": "ft", "sa": "sa", "ga": "ga", "gd": "gd"},
    **{"npo": "npo", "dpo": "dpo"},
}
RETRAIN = "retrain"

UnlearnMethodOption = Annotated[
    UnlearnMethod,
    of_method(
        "--method",
        help="One second-order step on the selected heads and filters (spe-so) or on all of them (so); or "
        "shrinking what matters to the forgotten examples above all (ssd); or training: on the remaining "
        "examples (ft), the same with a penalty on the weights (sa), away from the forgotten ones (ga), both "
        "(gd), by negative (npo) or direct preference (dpo); or from the base model anew (retrain).",
    ),
]


@dataclass(frozen=True)
class TrainingOptions:
    """How a method trains; None leaves the choice to the method."""

    epochs: Annotated[
        float | None,
        of_method(
            "--epochs",
            metavar="X",
            parser=values.real(above=0),
            show_default="5",
            help="Training: passes over the examples to forget; of ft, sa and retrain over the "
            "remaining ones. What retrain is not given it takes from the training of MODEL.",
        ),
    ] = None
    learning_rate: Annotated[
        float | None,
        of_method(
            "--learning-rate",
            metavar="X",
            parser=values.real(above=0),
            show_default="1e-5, with --mask 2e-4",
            help="Training: peak learning rate of AdamW.",
        ),
    ] = None
    batch_size: Annotated[
        int | None,
        of_method(
            "--batch-size",
            metavar="N",
            parser=values.whole(least=1),
            show_default="32",
            help="Training: examples of each set a step.",
        ),
    ] = None
    weight_decay: Annotated[
        float | None,
        of_method(
            "--weight-decay",
            metavar="X",
            parser=values.real(least=0),
            show_default="0.01",
            help="Training: weight decay of AdamW, on what is trained.",
        ),
    ] = None
    schedule: Annotated[
        Literal["linear", "constant"] | None,
        of_method(
            "--schedule",
            show_default="linear",
            help="Training: the learning rate falls linearly to zero, or stays.",
        ),
    ] = None
    gamma: Annotated[
        float | None,
        of_method(
            "--gamma",
            metavar="X",
            parser=values.real(least=0),
            show_default="5e-5",
            help="sa: weight of the sum of absolute values of what is trained.",
        ),
    ] = None
    gamma_schedule: Annotated[
        Literal["constant", "linear"] | None,
        of_method(
            "--gamma-schedule", show_default="constant", help="sa: gamma stays, or falls linearly to zero."
        ),
    ] = None
    beta: Annotated[
        float | None,
        of_method(
            "--beta",
            metavar="X",
            parser=values.real(above=0),
            show_default="0.1",
            help="npo, dpo: how soon an example that has become unlikely is let go.",
        ),
    ] = None
    retain_weight: Annotated[
        float | None,
        of_method(
            "--retain-weight",
            metavar="X",
            parser=values.real(least=0),
            show_default="1 for gd, 0 for npo and dpo",
            help="gd, npo, dpo: weight of the loss of remaining examples.",
        ),
    ] = None
    epoch_over: Annotated[
        Literal["forget", "all"] | None,
        of_method(
            "--epoch-over",
            show_default="forget",
            help="gd: an epoch passes over the examples to forget, each step with as many remaining ones, or "
            "over all examples, the sign turned for those to forget.",
        ),
    ] = None
    stop_when_unseen: Annotated[
        bool | None,
        of_method(
            "--stop-when-unseen",
            show_default=False,
            help="Training: end as soon as the mean loss of the forgotten examples is that of unseen ones: "
            "--target-loss, or that of the held-out examples of --fisher.",
        ),
    ] = None
    seed: Annotated[
        int | None,
        of_method(
            "--seed",
            metavar="N",
            parser=values.whole(least=0),
            show_default="0",
            help="Training: seed of the order of the examples and of dropout.",
        ),
    ] = None
    reference: Annotated[
        Path | None,
        of_input(
            "--reference",
            metavar="FILE",
            help="npo, dpo: log-likelihoods of the examples to forget under MODEL; written if there is no "
            "such file.",
        ),
    ] = None
    answers: Annotated[
        Path | None,
        of_input(
            "--answers",
            metavar="FILE",
            show_default="a list of its own",
            help="dpo: what to say instead, one answer a line.",
        ),
    ] = None
    base: Annotated[
        Path | None,
        of_input("--base", metavar="FOLDER", help="retrain: the pretrained model that MODEL was made from."),
    ] = None

    def refuse(self, whom: str, *, but: tuple[str, ...] = ()) -> None:
        """Refuse every option of a training but some.

        Args:
            whom: Who takes none, for the message.
            but: Names of those that it takes.

        Raises:
            InputError: One was given.
        """
        odd = [
            one.name for one in fields(self) if getattr(self, one.name) is not None and one.name not in but
        ]
        if odd:
            name = odd[0].replace("_", "-")
            raise InputError(f"{whom} takes no --{name}", hint="see speu unlearn --help")

    def training(self) -> TrainingChoice:
        """Return what the stages take of the training."""
        from speu_cli.unlearning.training_choice import TrainingChoice

        return TrainingChoice(
            epochs=self.epochs,
            learning_rate=self.learning_rate,
            batch_size=self.batch_size,
            weight_decay=self.weight_decay,
            schedule=self.schedule,
            seed=self.seed or 0,
        )

    def objective(self) -> ObjectiveChoice:
        """Return what the stages take of the objective."""
        from speu_cli.unlearning.objectives.registry import ObjectiveChoice

        return ObjectiveChoice(
            gamma=self.gamma,
            gamma_schedule=self.gamma_schedule,
            beta=self.beta,
            retain_weight=self.retain_weight,
            epoch_over=self.epoch_over,
        )
