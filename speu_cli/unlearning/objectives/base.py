"""What an objective is, and what it sees of a training step."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

from torch import Tensor

Set = Literal["forget", "remaining", "answers"]


@dataclass(frozen=True)
class Scored:
    """Some examples after a forward pass, each ``[batch]``.

    Attributes:
        losses: ℓ(θ; x), with gradients.
        sizes: How many terms each is the mean of: the tokens of an answer; 1 for a class. Likewise None.
        reference: log p(x) under the original model; None where the objective does not ask for it.
    """

    losses: Tensor
    sizes: Tensor | None = None
    reference: Tensor | None = None

    def gain(self) -> Tensor:
        """Log p_θ(x) − log p_reference(x), ``[batch]``: sums over the terms, never means.

        Returns:
            The log-ratio of the model and the original one.

        Raises:
            ValueError: There are no reference values.
        """
        if self.reference is None or self.sizes is None:
            raise ValueError("the examples come without reference log-likelihoods")
        return -self.losses * self.sizes - self.reference


@dataclass(frozen=True)
class Moment:
    """One step of the training.

    Attributes:
        sets: A batch of each set that the objective reads.
        trained: The parameters, or slices of parameters, that are trained.
        done: Fraction of the steps that lie behind, 0 … 1.
    """

    sets: dict[Set, Scored]
    trained: Sequence[Tensor]
    done: float

    def mean_loss(self, name: Set) -> Tensor:
        """Mean of ℓ over the batch of one set, a scalar."""
        return self.sets[name].losses.mean()


class Objective(Protocol):
    """A loss to minimise; its fields are its settings, which the command line and records name alike."""

    with_reference: ClassVar[bool]
    dropout: ClassVar[bool]

    @property
    def over(self) -> tuple[Set, ...]:
        """What an epoch passes over once; of every other set a batch is drawn for each step."""
        ...

    @property
    def reads(self) -> tuple[Set, ...]:
        """The sets that :meth:`loss` needs a batch of."""
        ...

    def loss(self, moment: Moment) -> Tensor:
        """What is minimised, a scalar."""
        ...


def with_retained(loss: Tensor, weight: float, moment: Moment) -> Tensor:
    """Add weight · ℓ(D_r), unless the weight is 0."""
    return loss + weight * moment.mean_loss("remaining") if weight else loss
