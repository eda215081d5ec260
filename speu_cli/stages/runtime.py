"""How a stage runs, apart from what it computes."""

from dataclasses import dataclass, field

from speu_cli.progress import Progress, Silent


@dataclass(frozen=True)
class Runtime:
    """Where and how fast; none of it changes results beyond rounding.

    Attributes:
        device: ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        batch_tokens: Tokens in a padded batch.
        force: Existing outputs may be replaced.
        progress: Is told how the work goes on.
    """

    device: str = "cpu"
    batch_tokens: int = 2048
    force: bool = False
    progress: Progress = field(default_factory=Silent)
