"""Which examples a run of ``speu fisher`` sums over, from the options that say it."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from speu_cli.data.examples import Examples
from speu_cli.data.shards import Shard, positions
from speu_cli.errors import InputError
from speu_cli.stages.session import Session
from speu_cli.tasks.encoded import Encoded


@dataclass(frozen=True)
class Portion:
    """Which examples a run sums over.

    Attributes:
        rows: Hashes of the rows of D, int64 ``[n_D]``.
        planned: Which of them the whole run has in its sums, bool ``[n_D]``.
        used: Which of them this shard has, bool ``[n_D]``.
        encoded: Those.
    """

    rows: npt.NDArray[np.int64]
    planned: npt.NDArray[np.bool_]
    used: npt.NDArray[np.bool_]
    encoded: Encoded


def portion_of(
    session: Session, training: Examples, planned: npt.NDArray[np.bool_], part: Shard | None
) -> Portion:
    """Settle which examples are summed over.

    Args:
        session: Encodes them.
        training: The training set D.
        planned: Which of it the whole run has in its sums, bool ``[n_D]``.
        part: The shard; None: the whole run.

    Returns:
        The portion.

    Raises:
        InputError: There are fewer examples than shards.
    """
    numbers = np.flatnonzero(planned)
    encoded = session.encode(training).select(numbers.tolist())
    if part is None:
        return Portion(training.row_hashes(), planned, planned, encoded)
    if part.of > len(encoded):
        raise InputError(f"--shard {part}: got {len(encoded)} examples, expected at least one a shard")
    mine = sorted(positions(encoded.lengths, part))
    used = np.zeros_like(planned)
    used[numbers[mine]] = True
    return Portion(training.row_hashes(), planned, used, encoded.select(mine))
