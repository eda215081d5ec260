"""What each forgotten example would be known like, had the model never seen it."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from speu_cli.unlearning.strata import Ints

Floats = npt.NDArray[np.float64]

FEWEST = 20  # of fewer examples nobody can tell how they are distributed


@dataclass(frozen=True)
class Known:
    """How well examples are known.

    Attributes:
        margins: z of each, ``[n]``, in any order.
        strata: Which of them are alike, ``[n]``.
    """

    margins: Floats
    strata: Ints

    def like(self, stratum: int) -> Ints:
        """Positions of those of one stratum; of all where it has too few."""
        found = np.flatnonzero(self.strata == stratum)
        return found if len(found) >= FEWEST else np.arange(len(self.margins))


def unseen_margins(now: Known, known: Known, unseen: Known, lowest: float, order: Floats) -> Floats:
    """Give each forgotten example the margin that an unseen example like it has where it stands.

    The places of a stratum are half way between the ranks of its examples among the training examples of it,
    and the ranks of these in the forget set. By the second alone, forgotten and unseen examples would have
    one distribution, though a few examples may well be easier or harder than most; by the first alone, a few
    odd ones would count for too much. Who takes which of them is a matter of ``order``.

    Args:
        now: The forget set, n ≥ 1.
        known: The remaining training examples.
        unseen: Held-out examples, one at least.
        lowest: No target is below it: by how much an example is missed says nothing of its having been seen.
        order: Higher for what would be better known unseen, ``[n]``; its margins, if nothing tells better.

    Returns:
        A target for each, ``[n]``; never above what it is now, for nothing is to be learnt.
    """
    strata = {int(one): np.flatnonzero(now.strata == one) for one in np.unique(now.strata)}
    among, aims = np.empty(len(now.margins)), np.empty(len(now.margins))
    for one, of_it in strata.items():
        peers = np.sort(known.margins[known.like(one)])
        among[of_it] = (np.searchsorted(peers, now.margins[of_it]) + 0.5) / (len(peers) + 1)
    standing = (_ranks(among, now.margins) + among) / 2
    for one, of_it in strata.items():
        in_order = of_it[np.lexsort((now.margins[of_it], order[of_it]))]
        aims[in_order] = np.quantile(unseen.margins[unseen.like(one)], np.sort(standing[of_it]))
    return np.minimum(np.maximum(aims, lowest), now.margins)


def unseen_terms(
    aims: Floats, now: Known, terms_now: Floats, unseen: Known, terms_unseen: Floats, lowest: float
) -> Floats:
    """Divide targets among the terms of the loss, as unseen examples have them.

    What an example is known by falls in all terms together where it was never seen: who does not know where
    an answer starts does not know where it ends. Each takes the terms of the unseen example of its stratum
    whose margin is nearest to its target.

    Args:
        aims: Targets of the examples, ``[n]``.
        now: The forget set.
        terms_now: Its margins of each term, ``[n, terms]``.
        unseen: Held-out examples, one at least.
        terms_unseen: Theirs, ``[m, terms]``.
        lowest: No target is below it.

    Returns:
        A target for each term, ``[n, terms]``; never above what it is now, and just that where the target of
        the example is what it is now.
    """
    found = terms_now.copy()
    for position in np.flatnonzero(aims < now.margins):
        peers = unseen.like(int(now.strata[position]))
        nearest = peers[np.abs(unseen.margins[peers] - aims[position]).argmin()]
        found[position] = np.minimum(np.maximum(terms_unseen[nearest], lowest), terms_now[position])
    return found


def _ranks(first: Floats, second: Floats) -> Floats:
    """Ranks between 0 and 1 by one number, and where that is alike by another."""
    order = np.unique(np.stack([first, second], 1), axis=0, return_inverse=True)[1]
    ranks: Floats = (rankdata(order) - 0.5) / len(first)
    return ranks
