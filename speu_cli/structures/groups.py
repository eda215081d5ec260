"""Find the units of one kind in one layer: from a family's paths to slices of parameters."""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from speu_cli.errors import ArtifactError
from speu_cli.structures.entries import Axes
from speu_cli.structures.family import Input, UnitPaths
from speu_cli.structures.units import COLUMNS, ROWS, Kind, Slice, UnitGroup

AXES_OF_EXPERTS = 3  # experts, features out, features in


@dataclass(frozen=True)
class Place:
    """Where a group of units is.

    Attributes:
        kind: Heads or filters.
        layer: Number of the layer.
        path: Its path.
    """

    kind: Kind
    layer: int
    path: str


def find_group(
    model: nn.Module, place: Place, paths: UnitPaths, *, count: int | None = None, blocks: int | None = None
) -> UnitGroup:
    """Find the units of one kind in one layer.

    Args:
        model: The model.
        place: Kind and layer.
        paths: Where the units are below the layer.
        count: Number of units. Default: as many as the output has input features.
        blocks: Blocks of what units share. Default: one a unit.

    Returns:
        The units.
    """
    if has_tensor(model, f"{place.path}.{paths.output}"):
        return _find_filters_of_experts(model, place, paths)
    output = f"{place.path}.{paths.output}"
    projection = _linear(model, output)
    features = _features(projection)[0]
    count = count or features
    slices: list[Slice] = []
    for one in paths.inputs:
        path = f"{place.path}.{one.path}"
        if not one.optional or path in dict(model.named_modules()):
            slices += _of_input(_linear(model, path), path, one, (features, count, blocks or count))
    axes = ROWS if isinstance(projection, Conv1D) else COLUMNS
    slices.append(Slice(f"{output}.weight", axes, features // count))
    return UnitGroup(place.kind, place.layer, count, tuple(slices), output)


def has_tensor(model: nn.Module, name: str) -> bool:
    """Whether this is the name of a parameter, rather than of a module."""
    module, _, parameter = name.rpartition(".")
    try:
        return parameter in model.get_submodule(module)._parameters
    except AttributeError:
        return False


def _of_input(module: nn.Module, path: str, one: Input, sizes: tuple[int, int, int]) -> Iterator[Slice]:
    """What units own of a module's parameters.

    Args:
        module: The module.
        path: Its path.
        one: What its output features are.
        sizes: Input features of the output projection, number of units, blocks of what units share.

    Yields:
        The slices, weight before bias.

    Raises:
        ArtifactError: The module has another number of outputs.
    """
    features, count, blocks = sizes
    width, outputs = features // count, _features(module)[1]
    owned = [blocks if piece.shared else count for piece in one.pieces]
    if features % count or any(count % own for own in owned) or outputs != sum(owned) * width:
        alone = len(owned) == 1 and owned[0] != count
        expected = f"{owned[0] * width} in {owned[0]}" if alone else f"{features * len(owned)} in {count}"
        raise ArtifactError(f"'{path}' has {outputs} outputs, expected {expected} units")
    for name, _ in module.named_parameters(recurse=False):
        axes: Axes = COLUMNS if isinstance(module, Conv1D) and name == "weight" else ROWS
        start = 0
        for piece, own in zip(one.pieces, owned, strict=True):
            if not (piece.bias_unseen and name == "bias"):
                pitch = len(owned) * width if one.interleaved else None
                yield Slice(f"{path}.{name}", axes, width, count // own, start, pitch)
            start += width if one.interleaved else own * width


def _find_filters_of_experts(model: nn.Module, place: Place, paths: UnitPaths) -> UnitGroup:
    """The filters of a layer's experts, numbered expert by expert.

    Args:
        model: The model.
        place: Kind and layer.
        paths: Parameters, of all experts each.

    Returns:
        The units.

    Raises:
        ArtifactError: A parameter has another shape than the family file says.
    """
    output = f"{place.path}.{paths.output}"
    experts, hidden, filters = _three_sizes(model, output)
    slices: list[Slice] = []
    for one in paths.inputs:
        name, height = f"{place.path}.{one.path}", len(one.pieces) * filters
        if _three_sizes(model, name) != (experts, height, hidden):
            found = list(model.get_parameter(name).shape)
            raise ArtifactError(f"'{name}' has shape {found}, expected {[experts, height, hidden]}")
        for number in range(len(one.pieces)):
            slices.append(Slice(name, (0, 1), 1, start=number * filters, runs=(filters, height)))
    slices.append(Slice(output, (0, 2), 1))
    return UnitGroup(place.kind, place.layer, experts * filters, tuple(slices), None)


def _three_sizes(model: nn.Module, name: str) -> tuple[int, int, int]:
    parameter: Tensor | None = model.get_parameter(name) if has_tensor(model, name) else None
    if parameter is None or parameter.ndim != AXES_OF_EXPERTS:
        raise ArtifactError(f"the model has no parameter '{name}' of all experts")
    first, second, third = parameter.shape
    return first, second, third


def _features(module: nn.Module) -> tuple[int, int]:
    """How many features go in and come out."""
    weight: Tensor = module.get_parameter("weight")
    into, out = weight.shape if isinstance(module, Conv1D) else weight.T.shape
    return into, out


def _linear(model: nn.Module, path: str) -> nn.Module:
    """A linear module, with its weight either way round.

    Args:
        model: The model.
        path: Of the module.

    Returns:
        The module.

    Raises:
        ArtifactError: There is none.
    """
    try:
        module = model.get_submodule(path)
    except AttributeError:
        module = None
    if not isinstance(module, nn.Linear | Conv1D):
        raise ArtifactError(f"the model has no linear module '{path}', found {type(module).__name__}")
    return module
