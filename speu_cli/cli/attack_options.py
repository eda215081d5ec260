"""The options of ``speu eval`` that attack the models before they are measured once more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from speu_cli.cli import values
from speu_cli.cli.options import of_input, of_method

if TYPE_CHECKING:
    from speu_cli.checkpoints.quantized import Precision
    from speu_cli.stages.attack_choice import AttackChoice

PRECISIONS: tuple[Precision, ...] = ("int8", "int4")


@dataclass(frozen=True)
class AttackOptions:
    """Which attacks are tried."""

    paraphrases: Annotated[
        str | None,
        of_input(
            "--paraphrases",
            metavar="SOURCE",
            help="Attack: forgotten examples in other words, under the same ids.",
        ),
    ] = None
    relearn: Annotated[
        int | None,
        of_method(
            "--relearn",
            metavar="K",
            parser=values.whole(least=1),
            help="Attack: K steps of training on a few forgotten examples, drawn with --seed; are the others "
            "known again?",
        ),
    ] = None
    relearn_examples: Annotated[
        int | None,
        of_method(
            "--relearn-examples",
            metavar="N",
            parser=values.whole(least=1),
            show_default="a tenth, at least 8, at most half",
            help="Forgotten examples that --relearn trains on.",
        ),
    ] = None
    relearn_rate: Annotated[
        float | None,
        of_method(
            "--relearn-rate",
            metavar="X",
            parser=values.real(above=0),
            show_default="5e-5",
            help="Learning rate of AdamW in --relearn.",
        ),
    ] = None
    quantize: Annotated[
        list[str] | None,
        of_method(
            "--quantize",
            metavar="int8|int4",
            parser=values.one_of(PRECISIONS),
            help="Attack: the weights of all linear layers rounded to 8 bits (a scale an output) or to 4 (a "
            "scale for 64 inputs); may be repeated.",
        ),
    ] = None

    def choice(self) -> AttackChoice:
        """Return what the stages take."""
        from speu_cli.stages.attack_choice import AttackChoice

        return AttackChoice(
            relearn=self.relearn,
            relearn_examples=self.relearn_examples,
            relearn_rate=self.relearn_rate,
            quantize=tuple(one for one in PRECISIONS if one in (self.quantize or ())),
            paraphrases=self.paraphrases,
        )
