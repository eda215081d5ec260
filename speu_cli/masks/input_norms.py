"""‖X_j‖₂: how large each input feature of a module is over a set of examples."""

from collections.abc import Collection, Iterable
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from speu_cli.errors import ArtifactError
from speu_cli.progress import Progress, Silent
from speu_cli.tasks.encoded import Encoded


@torch.inference_mode()
def input_norms(
    model: PreTrainedModel,
    encoded: Encoded,
    paths: Collection[str],
    *,
    batch_tokens: int,
    progress: Progress | None = None,
) -> dict[str, Tensor]:
    """Run the model over all examples, and sum the squares of what modules are given.

    Args:
        model: In eval mode.
        encoded: The examples.
        paths: Of the modules.
        batch_tokens: Tokens in a padded batch.
        progress: Is told of every batch. Default: nobody.

    Returns:
        ‖X_j‖₂ over all tokens of all examples, padding left out, by path: float64 ``[inputs]``, on the CPU.

    Raises:
        ArtifactError: A module is not given one row for each token.
    """
    sums = _SquareSums()
    batches = encoded.batches(batch_tokens)
    steps: Iterable[list[int]] = (progress or Silent()).track(
        batches, total=sum(batch.tokens for batch in batches), description="input norms"
    )
    with ExitStack() as handles:
        for path in paths:
            handles.enter_context(
                model.get_submodule(path).register_forward_pre_hook(partial(sums.add, path), with_kwargs=True)
            )
        for indices in steps:
            inputs, _ = encoded.collate(indices)
            sums.real = encoded.real(indices)
            model(**{name: value.to(model.device) for name, value in inputs.items()})
    for path in paths:
        if path not in sums.by_path:
            raise ArtifactError(f"'{path}' is given no tokens", hint="make the mask without --within")
    return {path: total.sqrt() for path, total in sums.by_path.items()}


class _SquareSums:
    """Sums of squares by module.

    Attributes:
        real: Which positions of the batch are not padding, bool ``[rows, t]``.
        by_path: Σ X_j² of each module, float64 ``[inputs]``.
    """

    def __init__(self) -> None:
        self.real = torch.zeros(0, 0, dtype=torch.bool)
        self.by_path: dict[str, Tensor] = {}

    def add(self, path: str, _: object, args: tuple[Tensor, ...], kwargs: dict[str, Any]) -> None:
        """Add what a module is given, once for each of its uses.

        Args:
            path: Of the module.
            args: What it is given.
            kwargs: Likewise, by name.

        Raises:
            ArtifactError: It is not one row for each position.
        """
        given = args[0] if args else next(iter(kwargs.values()))
        rows = given.reshape(-1, given.shape[-1])
        if len(rows) != self.real.numel():
            raise ArtifactError(
                f"'{path}' is given {len(rows)} rows for {self.real.numel()} tokens, expected one for each",
                hint="make the mask without --within",
            )
        # Chosen, not multiplied by zero: padding may hold anything, NaN too.
        squares = rows[self.real.flatten().to(rows.device)].to("cpu", torch.float64).square().sum(0)
        self.by_path[path] = self.by_path.get(path, 0.0) + squares
