"""Steps with different curvatures, each at the rate at which the forget loss meets the target."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

from commands import Json

from kronecker.basis import find_bases
from kronecker.curvature import Curvature, correct_eigenvalues, corrected
from kronecker.measured import Measured
from kronecker.opened import Opened
from kronecker.sample import Sample, is_matrix, matrix_slices
from speu_cli.errors import UnsafeStepError
from speu_cli.stages.request import statistics_of
from speu_cli.stages.step import settle_rate
from speu_cli.statistics.sums import Statistics
from speu_cli.statistics.wanted import Wanted, wanted_slices
from speu_cli.unlearning.second_order import Direction, second_order_direction
from speu_cli.unlearning.settings import StepSettings

FLOAT32_BYTES = 4
Make = Callable[[], Direction]


@dataclass(frozen=True)
class Curvatures:
    """What was found of a sample.

    Attributes:
        diagonal: Statistics on the mask's slices.
        kronecker: By parameter.
        seconds: What each pass took, the eigendecompositions with the first.
    """

    diagonal: Statistics
    kronecker: Mapping[str, Curvature]
    seconds: dict[str, float]


def find_curvatures(opened: Opened, sample: Sample) -> Curvatures:
    """Pass over the sample three times: for the diagonal, the factors and the eigenvalues.

    Args:
        opened: The request.
        sample: Of the remaining examples.

    Returns:
        What was found.
    """
    wanted = Wanted(wanted_slices(opened.mask), mask_statistics=False)
    parts = matrix_slices(opened.mask, sample.model)
    times = [time.perf_counter()]
    diagonal = statistics_of(opened.session, sample.encoded, wanted, "diagonal of the sample")
    times.append(time.perf_counter())
    bases = find_bases(sample, parts)
    times.append(time.perf_counter())
    kronecker = correct_eigenvalues(sample, parts, bases)
    times.append(time.perf_counter())
    names = ("diagonal of the sample", "factors", "eigenvalues")
    taken = [later - earlier for earlier, later in pairwise(times)]
    return Curvatures(diagonal, kronecker, dict(zip(names, taken, strict=True)))


def ways(
    opened: Opened, curvatures: Curvatures, damping: float, stiffness: float
) -> Iterator[tuple[str, Make]]:
    """The curvatures that are compared.

    The diagonal of the sample tells what of a difference comes of the sample, and of damping by the mean over
    the slices in place of whole tensors: EK-FAC has both.

    Args:
        opened: The request.
        curvatures: Of the sample.
        damping: λ.
        stiffness: How fast coherent directions are held.

    Yields:
        A name, and how the direction is made.
    """
    in_step, remaining, mask = opened.request.in_step, opened.request.remaining, opened.mask
    diagonal = partial(second_order_direction, in_step, remaining, mask, damping=damping)
    yield "diagonal", diagonal
    if opened.file.collected.directions is not None:
        yield "diagonal + directions", partial(diagonal, stiffness=stiffness)
    yield (
        "diagonal of the sample",
        partial(second_order_direction, in_step, curvatures.diagonal, mask, damping=damping),
    )
    yield "EK-FAC", lambda: corrected(diagonal(), in_step, curvatures.kronecker, damping)


def take_step(opened: Opened, measured: Measured, make: Make, settings: StepSettings) -> Json:
    """Make a direction, find its rate, and measure the model that it leads to; the model is put back.

    Args:
        opened: The request.
        measured: Measures it.
        make: Makes the direction.
        settings: Target and limit.

    Returns:
        What it took and what was measured; ``refused`` where no rate is safe.
    """
    session = opened.session
    started = time.perf_counter()
    direction = make()
    made = time.perf_counter()
    row: Json = {"direction_seconds": made - started}
    try:
        rate = settle_rate(
            session, opened.forget.encoded, opened.request.remaining.count, direction, settings
        )
    except UnsafeStepError as error:
        return {**row, "search_seconds": time.perf_counter() - made, "refused": str(error)}
    row |= {"search_seconds": time.perf_counter() - made, "rate": rate.value, "trials": len(rate.trials)}
    with direction.applied(session.checkpoint.model, rate.value):
        return {**row, **measured.in_memory()}


def bytes_to_keep(opened: Opened) -> dict[str, int]:
    """What a file would have to hold of all heads' and filters' parameters, in float32.

    The factors are those of whole layers, each weight with its own, and Λ is as large as F. Λ of a whole
    layer does not tell Λ of a mask's slices: that takes another pass over the sample.

    Args:
        opened: Knows the layers.

    Returns:
        By curvature.
    """
    model = opened.session.checkpoint.model
    parameters = [model.get_parameter(name) for name in opened.session.layout.parameters]
    entries = sum(parameter.numel() for parameter in parameters)
    factors = sum(side**2 for one in parameters if is_matrix(one) for side in one.shape)
    directions = opened.file.collected.directions
    found = {"diagonal": entries, "EK-FAC": entries + factors}
    if directions is not None:
        found["diagonal + directions"] = entries * (1 + directions.count)
    return {name: count * FLOAT32_BYTES for name, count in found.items()}
