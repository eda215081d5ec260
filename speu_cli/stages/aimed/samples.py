"""Which remaining examples a request looks at: some are held where they are, others tell whether it hurt."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from speu_cli.stages.request import ForgetSet
from speu_cli.stages.session import Session
from speu_cli.tasks.encoded import Encoded
from speu_cli.unlearning.recipes.recipe import Recipe


@dataclass(frozen=True)
class Samples:
    """Examples of the training set.

    Attributes:
        forgotten: How many are to be forgotten.
        moved: These, and after them the remaining examples that may be held, in the order in which they are.
        checked: Other remaining examples.
    """

    forgotten: int
    moved: Encoded
    checked: Encoded

    def may_be_held(self, most: int) -> Encoded:
        """The first of the remaining examples, so many at most."""
        return self.moved.select(range(self.forgotten, min(self.forgotten + most, len(self.moved))))

    def with_held(self, held: Sequence[int]) -> Encoded:
        """The forget set, and after it those of the others at these positions among them."""
        return self.moved.select([*range(self.forgotten), *(self.forgotten + position for position in held)])


def draw_samples(session: Session, forget: ForgetSet, recipe: Recipe) -> Samples:
    """Draw from what remains, at random and always the same of the same set.

    Args:
        session: Encodes them.
        forget: The forget set.
        recipe: How many are held and checked at most.

    Returns:
        The samples; where few remain, a third of them is checked.
    """
    forgotten = set(forget.encoded.ids)
    remaining = [one for one in forget.training.ids if one not in forgotten]
    order = [remaining[number] for number in np.random.default_rng(0).permutation(len(remaining))]
    checked = min(recipe.checked, max(len(order) // 3, len(order) - recipe.most_drawn))
    drawn = order[checked : checked + recipe.most_drawn]
    return Samples(
        len(forgotten),
        session.encode(forget.training.select([*forget.encoded.ids, *drawn])),
        session.encode(forget.training.select(order[:checked])),
    )
