"""The units of one model and the parameter slices that belong to each."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product

from transformers import PretrainedConfig, PreTrainedModel

from speu_cli.errors import ArtifactError
from speu_cli.structures.families import FAMILIES
from speu_cli.structures.family import Family, Unserved
from speu_cli.structures.groups import Place, find_group, has_tensor
from speu_cli.structures.units import COLUMNS, KINDS, ROWS, Kind, Slice, UnitGroup

__all__ = ["COLUMNS", "KINDS", "ROWS", "Kind", "Layout", "Slice", "UnitGroup", "find_family", "find_layout"]


@dataclass(frozen=True)
class Layout:
    """All units of a model, heads and filters layer by layer.

    Attributes:
        groups: The units of one kind in one layer each.
        unserved: Kinds of which the model's units cannot be masked, and why.
        left_to_autograd: Modules that no rule can be used on.
    """

    groups: tuple[UnitGroup, ...]
    unserved: Mapping[Kind, str] = field(default_factory=dict)
    left_to_autograd: frozenset[str] = frozenset()

    def __iter__(self) -> Iterator[UnitGroup]:
        return iter(self.groups)

    def of_kind(self, kind: Kind) -> tuple[UnitGroup, ...]:
        """The groups of one kind, by layer."""
        return tuple(group for group in self.groups if group.kind == kind)

    def count(self, kind: Kind) -> int:
        """Number of units of one kind in the model."""
        return sum(group.count for group in self.of_kind(kind))

    @cached_property
    def parameters(self) -> dict[str, tuple[UnitGroup, tuple[Slice, ...]]]:
        """Every parameter that units own a part of, each of one group; its slices have the same axes."""
        found: dict[str, tuple[UnitGroup, tuple[Slice, ...]]] = {}
        for group in self.groups:
            for part in group.slices:
                _, before = found.get(part.parameter, (group, ()))
                found[part.parameter] = group, (*before, part)
        return found


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
            f"model family '{config.model_type}' is not supported, expected one of {', '.join(FAMILIES)}",
            hint="a family is a table: add a file to speu_cli/structures/families, as docs/families.md says",
        )
    return FAMILIES[config.model_type]


def find_layout(model: PreTrainedModel) -> Layout:
    """Find the units of a model.

    Args:
        model: Of a supported family.

    Returns:
        Its units.
    """
    config, family, base = model.config, find_family(model.config), model.base_model_prefix
    heads: int = config.num_attention_heads
    key_value_heads: int = getattr(config, "num_key_value_heads", None) or heads
    groups: list[UnitGroup] = []
    counts = [range(getattr(config, name)) for name in family.layers]
    for layer, numbers in enumerate(product(*counts)):
        path = f"{base}.{family.layer.format(*numbers)}"
        if not isinstance(family.heads, Unserved):
            place = Place("heads", layer, path)
            groups.append(find_group(model, place, family.heads, count=heads, blocks=key_value_heads))
        filters = family.filters
        if family.dense_filters and not has_tensor(model, f"{path}.{filters.output}"):
            filters = family.dense_filters
        groups.append(find_group(model, Place("filters", layer, path), filters))
    unserved: dict[Kind, str] = {"heads": family.heads.why} if isinstance(family.heads, Unserved) else {}
    aside = [
        path
        for path, _ in model.named_modules()
        for ending, switch in family.left_to_autograd.items()
        if path.endswith(f".{ending}") and (not switch or getattr(config, switch))
    ]
    return Layout(tuple(groups), unserved, frozenset(aside))
