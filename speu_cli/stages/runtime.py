"""How a stage runs, apart from what it computes."""

from dataclasses import dataclass, field

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
