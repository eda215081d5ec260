"""B of one group of units, as the rearrangement asks for it: whole, or estimated from sampled examples."""

from typing import Protocol

import numpy as np
import numpy.typing as npt

from speu_cli.errors import InputError
from speu_cli.statistics.sums import Statistics
from speu_cli.statistics.validity import diagonal_of

Vector = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


class MaskFisher(Protocol):
    """A symmetric matrix B ``[units, units]``."""

    @property
    def diagonal(self) -> Vector:
        """B[i,i], ``[units]``."""
        ...

    def columns(self, units: Indices) -> Vector:
        """B[:, i] of each i in ``units``, as rows: ``[len(units), all units]``."""
        ...

    def times(self, vector: Vector) -> Vector:
        """B·z, ``[units]``."""
        ...


def mask_fisher(statistics: Statistics, key: str) -> MaskFisher:
    """The B of a group of units.

    Args:
        statistics: Sums over a set of examples, or what they would be for more examples.
        key: Name of the group.

    Returns:
        B as it is, or where there is a sample of mask gradients its estimate.

    Raises:
        InputError: There is a sample, and it is empty.
    """
    block = statistics.mask_fisher[key].double()
    if key not in statistics.mask_rows:
        return WholeFisher(block.numpy())
    rows = statistics.mask_rows[key].double()
    if not len(rows):
        raise InputError(
            f"no example is left in the sample of mask gradients that stands for B of {key}",
            hint="compute the statistics again without the examples to forget, or forget fewer at once",
        )
    return SampledFisher(diagonal_of(block).numpy(), rows.numpy(), statistics.count)


class WholeFisher:
    """B itself, ``[units, units]``."""

    def __init__(self, block: Vector) -> None:
        self._block = block

    @property
    def diagonal(self) -> Vector:
        """B[i,i]."""
        return self._block.diagonal()

    def columns(self, units: Indices) -> Vector:
        """B[:, i] of each i."""
        return self._block[:, units].T

    def times(self, vector: Vector) -> Vector:
        """B·z."""
        return self._block @ vector


class SampledFisher:
    """B̂: the exact diagonal, and beside it (n/s)·RᵀR; never made as a matrix.

    Args:
        diagonal: B[i,i], ``[units]``, of all n examples.
        rows: R, mask gradients of s of the examples, ``[s, units]``.
        count: n.
    """

    def __init__(self, diagonal: Vector, rows: Vector, count: int) -> None:
        self._diagonal, self._rows, self._scale = diagonal, rows, count / len(rows)
        self._beside_sample = diagonal - self._scale * np.einsum("si,si->i", rows, rows)

    @property
    def diagonal(self) -> Vector:
        """B[i,i]."""
        return self._diagonal

    def columns(self, units: Indices) -> Vector:
        """B̂[:, i] of each i, (n/s)·Rᵀ(R[:, i]) but for the diagonal."""
        columns: Vector = self._scale * (self._rows[:, units].T @ self._rows)
        columns[np.arange(len(units)), units] = self._diagonal[units]
        return columns

    def times(self, vector: Vector) -> Vector:
        """B̂·z = (n/s)·Rᵀ(R·z) + (diag B − (n/s)·diag RᵀR)·z."""
        product: Vector = self._scale * (self._rows.T @ (self._rows @ vector))
        product += self._beside_sample * vector
        return product
