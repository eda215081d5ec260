"""Which remaining examples a request looks at: some are held where they are, others tell whether it hurt."""

from dataclasses import dataclass

import numpy as np

from speu_cli.stages.request import ForgetSet
from speu_cli.stages.session import Session
from speu_cli.tasks.encoded import Encoded


@dataclass(frozen=True)
class Samples:
    """Examples of the training set.

    Attributes:
        forgotten: How many are to be forgotten.
        moved: These, and after them the remaining examples that may be held.
        checked: Other remaining examples.
    """

    forgotten: int
    moved: Encoded
    checked: Encoded

    def with_held(self, count: int) -> Encoded:
        """The forget set, and after it as many of those that may be held, as far as there are so many."""
        return self.moved.select(range(min(self.forgotten + count, len(self.moved))))


def draw_samples(session: Session, forget: ForgetSet, held: int, checked: int) -> Samples:
    """Draw from what remains, at random and always the same of the same set.

    Args:
        session: Encodes them.
        forget: The forget set.
        held: How many are held at most.
        checked: How many others are looked at, at most.

    Returns:
        The samples; where too few remain, the held ones come first.
    """
    forgotten = set(forget.encoded.ids)
    remaining = [one for one in forget.training.ids if one not in forgotten]
    order = np.random.default_rng(0).permutation(len(remaining))[: held + checked]
    drawn = [remaining[number] for number in order]
    return Samples(
        len(forgotten),
        session.encode(forget.training.select([*forget.encoded.ids, *drawn[:held]])),
        session.encode(forget.training.select(drawn[held:])),
    )
