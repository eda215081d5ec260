"""The units of one model and the parameter slices that belong to each."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel

from speu_cli.errors import ArtifactError
from speu_cli.structures.families import FAMILIES
from speu_cli.structures.family import Family, UnitPaths

Kind = Literal["heads", "filters"]
KINDS: tuple[Kind, ...] = ("heads", "filters")
ROWS, COLUMNS = 0, 1


@dataclass(frozen=True)
class Slice:
    """Unit ``i`` owns ``[b·width, (b+1)·width)``, b = ``i // shared_by``, along ``axis`` of the parameter.

    Attributes:
        parameter: Name in the model.
        axis: 0 for rows, 1 for columns.
        width: Rows or columns of a block.
        shared_by: Consecutive units with the same block: grouped-query attention.
    """

    parameter: str
    axis: int
    width: int
    shared_by: int = 1

    def indices(self, units: Tensor) -> Tensor:
        """Rows or columns of these units, each once, ascending if the units are: int64."""
        blocks: Tensor = torch.unique_consecutive(units // self.shared_by)
        return (blocks[:, None] * self.width + torch.arange(self.width)).flatten()


@dataclass(frozen=True)
class UnitGroup:
    """The units of one kind in one layer.

    Attributes:
        kind: Heads or filters.
        layer: Number of the layer, from 0.
        count: Number of units.
        slices: What each unit owns; the last is in the output projection.
        output: Module whose input the mask variables scale, ``width`` features a unit.
    """

    kind: Kind
    layer: int
    count: int
    slices: tuple[Slice, ...]
    output: str

    @property
    def key(self) -> str:
        """Name in files: ``heads/0``."""
        return f"{self.kind}/{self.layer}"

    @property
    def width(self) -> int:
        """Input features of the output projection that one unit feeds."""
        return self.slices[-1].width


@dataclass(frozen=True)
class Layout:
    """All units of a model, heads and filters layer by layer."""

    groups: tuple[UnitGroup, ...]

    def __iter__(self) -> Iterator[UnitGroup]:
        return iter(self.groups)

    def of_kind(self, kind: Kind) -> tuple[UnitGroup, ...]:
        """The groups of one kind, by layer."""
        return tuple(group for group in self.groups if group.kind == kind)

    def count(self, kind: Kind) -> int:
        """Number of units of one kind in the model."""
        return sum(group.count for group in self.of_kind(kind))

    @property
    def parameters(self) -> dict[str, tuple[UnitGroup, Slice]]:
        """Every parameter that units own a part of; each belongs to one group."""
        return {part.parameter: (group, part) for group in self.groups for part in group.slices}


def find_family(config: PretrainedConfig) -> Family:
    """The family that a model belongs to.

    Args:
        config: The model's configuration.

    Returns:
        The family.

    Raises:
        ArtifactError: No family file covers it.
    """
    if config.model_type not in FAMILIES:
        raise ArtifactError(
            f"model family '{config.model_type}' is not supported, expected one of {', '.join(FAMILIES)}"
        )
    return FAMILIES[config.model_type]


def find_layout(model: PreTrainedModel) -> Layout:
    """Find the units of a model.

    Args:
        model: Of a supported family.

    Returns:
        Its units.

    Raises:
        ArtifactError: A module is missing or has another shape than the family file says.
    """
    family = find_family(model.config)
    modules = dict(model.named_modules())
    heads: int = model.config.num_attention_heads
    key_value_heads: int = getattr(model.config, "num_key_value_heads", None) or heads
    groups: list[UnitGroup] = []
    for layer in range(model.config.num_hidden_layers):
        path = f"{model.base_model_prefix}.{family.layer.format(layer=layer)}"
        groups.append(
            _find_group(modules, "heads", layer, path, family.heads, count=heads, blocks=key_value_heads)
        )
        groups.append(_find_group(modules, "filters", layer, path, family.filters, count=None, blocks=None))
    return Layout(tuple(groups))


def _find_group(
    modules: dict[str, nn.Module],
    kind: Kind,
    layer: int,
    path: str,
    paths: UnitPaths,
    *,
    count: int | None,
    blocks: int | None,
) -> UnitGroup:
    """Find the units of one kind in one layer.

    Args:
        modules: The model's, by path.
        kind: Heads or filters.
        layer: Number of the layer.
        path: Path of the layer.
        paths: Where the units are below it.
        count: Number of units. Default: as many as the output has input features.
        blocks: Blocks of a module that units share. Default: one a unit.

    Returns:
        The units.

    Raises:
        ArtifactError: A module has another shape than the family file says.
    """
    output = f"{path}.{paths.output}"
    features = _linear(modules, output).in_features
    count = count or features
    width, blocks = features // count, blocks or count
    slices: list[Slice] = []
    for name in paths.inputs:
        linear = _linear(modules, f"{path}.{name}")
        own = blocks if name in paths.shared else count
        if features % count or count % own or linear.out_features != own * width:
            expected = features if own == count else own * width
            raise ArtifactError(
                f"'{path}.{name}' has {linear.out_features} outputs, expected {expected} in {own} units"
            )
        slices += [
            Slice(f"{path}.{name}.{part}", ROWS, width, shared_by=count // own)
            for part, _ in linear.named_parameters(recurse=False)
            if f"{name}.{part}" not in paths.unseen
        ]
    slices.append(Slice(f"{output}.weight", COLUMNS, width))
    return UnitGroup(kind, layer, count, tuple(slices), output)


def _linear(modules: dict[str, nn.Module], path: str) -> nn.Linear:
    module = modules.get(path)
    if not isinstance(module, nn.Linear):
        raise ArtifactError(f"the model has no linear module '{path}', found {type(module).__name__}")
    return module
