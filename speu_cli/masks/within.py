"""Entry masks: which weights of the selected units may change (Wanda, Appendix A.4)."""

import math
from dataclasses import replace

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from speu_cli.errors import ArtifactError, InputError
from speu_cli.masks.selection import selected_count
from speu_cli.structures.entries import take, taken_shape
from speu_cli.structures.mask import Mask

PREFIX = "wanda:"


def wanda_sparsity(within: str) -> float:
    """Read how entries are chosen inside the selected units.

    Args:
        within: ``wanda:S``, with S the fraction of each output row's weights that is frozen, in [0, 1).

    Returns:
        S.

    Raises:
        InputError: It is something else.
    """
    try:
        sparsity = float(within.removeprefix(PREFIX)) if within.startswith(PREFIX) else math.nan
    except ValueError:
        sparsity = math.nan
    if not 0 <= sparsity < 1:
        raise InputError(f"--within is {within!r}, expected wanda:S with S of at least 0 and below 1")
    return sparsity


def weights_of(mask: Mask, model: nn.Module) -> dict[str, str]:
    """The weights that Wanda ranks the entries of; biases have no input to be ranked by.

    Args:
        mask: The selected units.
        model: The model.

    Returns:
        Path of the module by name of the weight, of those with a slice in the mask.

    Raises:
        ArtifactError: A weight is not that of a linear layer.
    """
    names = [name for name, _, _ in mask.slices() if model.get_parameter(name).ndim > 1]
    weights = {name: name.rpartition(".")[0] for name in names}
    for name, path in weights.items():
        module = model.get_submodule(path)
        if not isinstance(module, nn.Linear | Conv1D):
            raise ArtifactError(
                f"'{name}' is in a {type(module).__name__}, expected a linear layer",
                hint="make the mask without --within",
            )
    return weights


def with_wanda(mask: Mask, model: nn.Module, norms: dict[str, Tensor], sparsity: float) -> Mask:
    """Keep the weights with the largest |W_ij|·‖X_j‖₂ of each output row, among those of selected units.

    Biases of selected units may all change.

    Args:
        mask: The selected units.
        model: Has W.
        norms: ‖X_j‖₂ of each module, ``[inputs]``, by the module's path.
        sparsity: The fraction of the weights of a row that is frozen; at least one is not.

    Returns:
        The mask with :attr:`~speu_cli.structures.mask.Mask.within`.
    """
    paths, within = weights_of(mask, model), {}
    for name, axes, indices in mask.slices():
        if name not in paths:
            continue
        weight = model.get_parameter(name).detach()
        # A Conv1D holds its weight [in, out].
        inputs = 1 if isinstance(model.get_submodule(paths[name]), nn.Linear) else 0
        scale = norms[paths[name]].unsqueeze(1 - inputs).expand_as(weight)
        slices = take(weight, axes, indices.to(weight.device)).to("cpu", torch.float64)
        within[name] = _largest(slices.abs() * take(scale, axes, indices), inputs, sparsity)
    return replace(mask, within=within)


def _largest(scores: Tensor, inputs: int, sparsity: float) -> Tensor:
    """The entries with the highest scores along the axis of the inputs; equal ones in their order."""
    ranked = scores.argsort(dim=inputs, descending=True, stable=True)
    kept = ranked.narrow(inputs, 0, selected_count(scores.shape[inputs], sparsity))
    return torch.zeros_like(scores, dtype=torch.bool).scatter_(inputs, kept, value=True)


def require_fits(mask: Mask, model: nn.Module, source: str) -> None:
    """Refuse an entry mask that is not of the weights of this model.

    Args:
        mask: The mask.
        model: The model.
        source: What a message calls the mask.

    Raises:
        ArtifactError: A weight has no entry mask, or one of another shape.
    """
    if mask.within is None:
        return
    expected = {}
    for name, axes, indices in mask.slices():
        shape = taken_shape(model.get_parameter(name).shape, axes, len(indices))
        if len(shape) > 1:
            expected[name] = list(shape)
    found = {name: list(entries.shape) for name, entries in mask.within.items()}
    odd = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    if odd:
        raise ArtifactError(
            f"{source}: 'within/{odd[0]}' is {found.get(odd[0], 'missing')}, expected "
            f"{expected.get(odd[0], 'nothing of it')} flags"
        )
