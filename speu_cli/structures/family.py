"""What a family file says."""

from dataclasses import dataclass


@dataclass(frozen=True)
class UnitPaths:
    """The linear modules that hold the units of one kind, as paths below their layer.

    Attributes:
        inputs: Modules whose output rows belong to units, in equal consecutive blocks.
        output: Module whose input columns belong to units; its input is what the mask variables scale.
        shared: Those of ``inputs`` with one block for several consecutive units, as many blocks as
            ``num_key_value_heads`` in the configuration.
        unseen: Parameters of ``inputs`` that no output depends on, such as a key's bias without rotary
            positions: it adds the same to all scores of a query, and softmax does not see it. Units own
            nothing of them, for their gradient is rounding noise, and noise divided by its own square would
            be a huge step.
    """

    inputs: tuple[str, ...]
    output: str
    shared: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()


@dataclass(frozen=True)
class Family:
    """Where a model family keeps its heads and filters.

    Attributes:
        model_type: As in ``config.json``.
        layer: Path of a layer below the base model, with ``{layer}`` for its number.
        heads: Query, key and value modules, and the projection of the heads' outputs.
        filters: Modules into and out of the intermediate neurons.
        reserved_positions: Position embeddings that no token can take.
    """

    model_type: str
    layer: str
    heads: UnitPaths
    filters: UnitPaths
    reserved_positions: int = 0
