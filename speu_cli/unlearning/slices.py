"""Train nothing of a model but the slices of selected units.

The slices are small parameters of their own, in float32 at least, whatever the weights are in: a step may
be smaller than the last digit of a bfloat16 weight. The optimiser sees them alone, so that neither its
weight decay nor its moments can move anything else, and its state is as small as they are.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from speu_cli.structures.entries import Axes, put, take
from speu_cli.structures.mask import Mask
from speu_cli.unlearning.sliced_linear import OUTPUT_AXIS, SlicedLinear


@dataclass(frozen=True)
class Piece:
    """Where the slices of a mask are in one parameter.

    Attributes:
        axes: 0 for rows, 1 for columns; of several the entries are counted together.
        indices: Along the axes, int64, ascending.
        entries: Which entries of the slices are trained, bool in their shape; None: all of them.
    """

    axes: Axes
    indices: Tensor
    entries: Tensor | None = None

    def take(self, tensor: Tensor) -> Tensor:
        """A copy of the slices of a tensor that is shaped like the parameter, or a list of ``entries``."""
        slices = take(tensor, self.axes, self.indices)
        return slices if self.entries is None else slices[self.entries]

    def put(self, tensor: Tensor, values: Tensor) -> None:
        """Overwrite the slices of a tensor, in place, or their entries."""
        values = values.to(tensor.dtype)
        if self.entries is not None:
            slices = take(tensor, self.axes, self.indices)
            slices[self.entries] = values
            values = slices
        put(tensor, self.axes, self.indices, values)


def pieces_of(mask: Mask, model: nn.Module) -> dict[str, Piece]:
    """Where the slices of a mask are, by parameter, on the devices of the parameters."""
    pieces = {}
    for name, axes, indices in mask.slices():
        device, entries = model.get_parameter(name).device, mask.entries(name)
        pieces[name] = Piece(axes, indices.to(device), None if entries is None else entries.to(device))
    return pieces


class TrainableSlices(nn.Module):
    """Slices of a model's parameters as parameters of their own.

    A linear layer whose weight has slices makes their gradients and no others (:class:`SlicedLinear`). Of
    any other layer the whole gradient of a parameter is made, its slices are taken, and the rest is freed
    at once.

    Args:
        model: Its parameters require no gradients.
        mask: The selected units.

    Attributes:
        pieces: Where the slices are, by parameter.
    """

    def __init__(self, model: nn.Module, mask: Mask) -> None:
        super().__init__()
        self.pieces = pieces_of(mask, model)
        self._hidden = (model,)  # no submodule: its parameters are not trained
        for name, piece in self.pieces.items():
            values = piece.take(model.get_parameter(name).detach())
            self.register_parameter(_registered(name), nn.Parameter(values.to(_at_least_float32(values))))

    def of(self, name: str) -> nn.Parameter:
        """The slices of a parameter."""
        return self.get_parameter(_registered(name))

    @property
    def size(self) -> int:
        """Number of entries that are trained."""
        return sum(parameter.numel() for parameter in self.parameters())

    @torch.no_grad()
    def write(self) -> None:
        """Put the slices into the model."""
        for name, piece in self.pieces.items():
            piece.put(self._hidden[0].get_parameter(name), self.of(name))

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Let backward passes through the model give the slices their gradients, for a while."""
        model = self._hidden[0]
        linear = self._linear_modules(model)
        covered = {f"{path}.{part}" for path, module in linear.items() for part, _ in _own(module)}
        hooked = [name for name in self.pieces if name not in covered]
        for path, module in linear.items():
            vars(module)["forward"] = self._sliced(path, module)
        hooks = [
            model.get_parameter(name)
            .requires_grad_(True)
            .register_post_accumulate_grad_hook(self._take(name))
            for name in hooked
        ]
        try:
            yield
        finally:
            for module in linear.values():
                del vars(module)["forward"]
            for hook in hooks:
                hook.remove()
            for name in hooked:
                model.get_parameter(name).requires_grad_(False)

    def _linear_modules(self, model: nn.Module) -> dict[str, nn.Module]:
        """The linear layers of a known type whose weight has slices and is used nowhere else."""
        owners = {name.rpartition(".")[0] for name in self.pieces if name.endswith(".weight")}
        users = Counter(id(parameter) for module in model.modules() for _, parameter in _own(module))
        found = {path: model.get_submodule(path) for path in sorted(owners)}
        return {
            path: module
            for path, module in found.items()
            if type(module) in OUTPUT_AXIS
            and "forward" not in vars(module)  # someone else has changed what it does
            and all(users[id(parameter)] == 1 for _, parameter in _own(module))
        }

    def _sliced(self, path: str, module: nn.Module) -> SlicedLinear:
        weight, bias = f"{path}.weight", f"{path}.bias"
        own_bias = self.pieces.get(bias)
        return SlicedLinear(
            module,
            axis=self.pieces[weight].axes[0],
            indices=self.pieces[weight].indices,
            entries=self.pieces[weight].entries,
            weight=self.of(weight),
            bias=None if own_bias is None else self.of(bias),
            bias_indices=None if own_bias is None else own_bias.indices,
        )

    def _take(self, name: str) -> "_Taken":
        return _Taken(self.pieces[name], self.of(name))


@dataclass(frozen=True)
class _Taken:
    """Takes the slices of a gradient once it is whole, and frees it."""

    piece: Piece
    slices: nn.Parameter

    def __call__(self, parameter: Tensor) -> None:
        if parameter.grad is None:
            return
        gradient = self.piece.take(parameter.grad).to(self.slices.dtype)
        self.slices.grad = gradient if self.slices.grad is None else self.slices.grad + gradient
        parameter.grad = None


def _own(module: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    return module.named_parameters(recurse=False)


def _registered(name: str) -> str:
    """A module's own parameters have no dots in their names."""
    return name.replace(".", "/")


def _at_least_float32(values: Tensor) -> torch.dtype:
    return torch.promote_types(values.dtype, torch.float32)
