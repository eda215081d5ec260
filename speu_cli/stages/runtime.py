"""How a stage runs, apart from what it computes."""

from dataclasses import dataclass, field

from speu_cli.errors import InputError
from speu_cli.progress import Progress, Silent
from speu_cli.statistics.files import ComputedIn

BATCH_TOKENS = 2048


@dataclass(frozen=True)
class Runtime:
    """Where and how fast; none of it changes results beyond rounding.

    Attributes:
        device: ``cpu``, ``cuda``, ``cuda:1``, ``mps``; ``auto`` spreads the model over what there is.
        batch_tokens: Tokens in a padded batch.
        force: Existing outputs may be replaced.
        progress: Is told how the work goes on.
        dtype: Type that the statistics pass computes in; sums are in float32 at least.
    """

    device: str = "cpu"
    batch_tokens: int = BATCH_TOKENS
    force: bool = False
    progress: Progress = field(default_factory=Silent)
    dtype: ComputedIn = "float32"


def require_first_device(device: str) -> None:
    """Refuse a device that no training runs on.

    Args:
        device: As asked for.

    Raises:
        InputError: It is not the first of its kind.
    """
    if device not in {"cpu", "cuda", "cuda:0", "mps"}:
        raise InputError(
            f"training runs on the first device of its kind: got {device}",
            hint="let it see the one that you mean alone: CUDA_VISIBLE_DEVICES=1 speu train … --device cuda",
        )
