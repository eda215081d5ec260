"""What a family file says."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Piece:
    """Blocks of output features of a module, one after the other, each a unit's.

    Attributes:
        shared: One block for several consecutive units, as many blocks as ``num_key_value_heads`` in the
            configuration, if there is such a number.
        bias_unseen: No output depends on the bias of these features, as on that of a key without rotary
            positions: it adds the same to all scores of a query, and softmax does not see it. Units own
            nothing of it, for its gradient is rounding noise, and noise divided by its own square would be
            a huge step.
    """

    shared: bool = False
    bias_unseen: bool = False


QUERY = FILTER = Piece()
KEY = VALUE = Piece(shared=True)
KEY_WITHOUT_ROTATION = Piece(shared=True, bias_unseen=True)


@dataclass(frozen=True)
class Input:
    """A module into units, as a path below their layer.

    Attributes:
        path: A linear module, or a parameter ``[experts, features, hidden]``.
        pieces: What its output features are, the blocks of all units of one piece before those of the next.
        interleaved: Rather all pieces of one unit before those of the next.
        optional: Some models of the family have it and others do not.
    """

    path: str
    pieces: tuple[Piece, ...] = (QUERY,)
    interleaved: bool = False
    optional: bool = False


@dataclass(frozen=True)
class UnitPaths:
    """Where the units of one kind are.

    Attributes:
        inputs: Modules in whose output features units own blocks.
        output: Module in whose input features they do; its input is what the mask variables scale. Or a
            parameter ``[experts, hidden, filters]``.
    """

    inputs: tuple[Input, ...]
    output: str


@dataclass(frozen=True)
class Unserved:
    """Units that cannot be masked, or not alone.

    Attributes:
        why: A clause for messages.
    """

    why: str


@dataclass(frozen=True)
class Family:
    """Where a model family keeps its heads and filters.

    Attributes:
        model_type: As in ``config.json``.
        layer: Path of a layer below the base model, with ``{}`` for each of its numbers.
        heads: Query, key and value modules, and the projection of the heads' outputs.
        filters: Modules into and out of the intermediate neurons.
        dense_filters: Likewise, in layers that have no experts; None where all layers are alike.
        layers: What the configuration calls the number of layers; where layers lie in groups, the number of
            these first.
        reserved_positions: Position embeddings that no token can take.
        left_to_autograd: Endings of paths of modules that one output of is for all examples, so that no rule
            can tell whose gradient is what; and the switch in the configuration that makes it so, or "" for
            always.
    """

    model_type: str
    layer: str
    heads: UnitPaths | Unserved
    filters: UnitPaths
    dense_filters: UnitPaths | None = None
    layers: tuple[str, ...] = ("num_hidden_layers",)
    reserved_positions: int = 0
    left_to_autograd: Mapping[str, str] = field(default_factory=dict)
