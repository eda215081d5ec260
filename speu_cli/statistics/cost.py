"""What a pass takes, from shapes alone: bytes of memory and floating-point operations.

The model may be on the meta device, so that a configuration is all that is needed of it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from transformers import PreTrainedModel

from speu_cli.checkpoints.heads import MODELLING, head_of
from speu_cli.data.batches import Schedule
from speu_cli.errors import InputError
from speu_cli.statistics.coherent import empty_directions
from speu_cli.statistics.running import PENDING_ROWS, RunningSums
from speu_cli.statistics.sums import SUMS, Statistics
from speu_cli.statistics.wanted import Wanted
from speu_cli.structures.family import Unserved
from speu_cli.structures.layout import Layout, UnitGroup, find_family

SINGLE = torch.float32.itemsize
# Operations an entry of a weight, for each token: the layer's own product, the gradient of its input, and the
# product that an example's gradient of the weight is. Each entry of that is squared and added to two sums.
FORWARD = BACKWARD = PRODUCT = 2
SQUARE = 3
# Operations a feature, for each pair of positions: two products forward; backward five, one of them again.
ATTENTION_FORWARD, ATTENTION_BACKWARD = 4, 10
# Temporaries of folding a sum, each of its size.
FOLDING = 3


@dataclass(frozen=True)
class Batches:
    """The batches of a pass in numbers.

    Attributes:
        examples: How many there are.
        tokens: Their tokens.
        padded: Tokens, padding included.
        pairs: Pairs of positions of one example, padding included.
        most_tokens: Tokens of the largest batch, padding included.
        most_examples: Examples of the batch that has most.
        longest: Tokens of the longest example.
    """

    examples: int
    tokens: int
    padded: int
    pairs: int
    most_tokens: int
    most_examples: int
    longest: int

    @classmethod
    def of(cls, lengths: Sequence[int], max_tokens: int) -> "Batches":
        """Batches as a pass makes them.

        Args:
            lengths: Tokens of each example, at least one.
            max_tokens: Most tokens in a batch, padding included.

        Returns:
            Their numbers.
        """
        shapes = [(len(batch), lengths[batch[0]]) for batch in Schedule(lengths, max_tokens)]
        return cls(
            examples=len(lengths),
            tokens=sum(lengths),
            padded=sum(count * longest for count, longest in shapes),
            pairs=sum(count * longest**2 for count, longest in shapes),
            most_tokens=max(count * longest for count, longest in shapes),
            most_examples=max(count for count, _ in shapes),
            longest=max(lengths),
        )


@dataclass(frozen=True)
class Memory:
    """Bytes that a process takes at most, beside Python and its libraries.

    Attributes:
        weights: Of the model.
        statistics: Running sums, two tensors each.
        sample: Mask gradients that are kept of a sample of the examples; in the machine's memory everywhere.
        directions: Sums of directions; likewise.
        activations: Of the largest batch, kept from the forward to the backward pass.
        workspace: Gradients and copies of one layer, temporaries of the sums, and mask gradients that wait.
    """

    weights: int
    statistics: int
    sample: int
    directions: int
    activations: int
    workspace: int

    def on(self, device: str) -> int:
        """All that is in the memory of a device."""
        in_both = self.weights + self.statistics + self.activations + self.workspace
        return in_both if device.startswith("cuda") else in_both + self.sample + self.directions


@dataclass(frozen=True)
class Layer:
    """One layer of a model.

    Attributes:
        heads: Its heads.
        filters: Its filters.
        weights: Names of its matrices, and their entries.
        gates: How many modules lead into its filters.
        hidden: Features of its output.
    """

    heads: UnitGroup
    filters: UnitGroup
    weights: dict[str, int]
    gates: int
    hidden: int

    def kept_features(self, wanted: Wanted) -> int:
        """Features a token that live until the backward pass comes to them, but for those of norms.

        Autograd is asked for no gradient of a weight, so a linear layer keeps nothing. Attention keeps
        queries, keys and values, these once for every head, and its result. The activation function keeps its
        input, a product with a gate both factors. A rule keeps what its module was given.

        Args:
            wanted: What the pass collects.

        Returns:
            The features.
        """
        attention, filters = 4 * self.heads.count * self.heads.width, self.filters.count
        before_output = wanted.mask_statistics or self.filters.slices[-1].parameter in wanted.parameters
        listened = [any(one.parameter in wanted.parameters for one in group.slices[:-1]) for group in self]
        return attention + (2 * self.gates - 1 + before_output) * filters + sum(listened) * self.hidden

    def __iter__(self) -> Iterator[UnitGroup]:
        return iter((self.heads, self.filters))


@dataclass(frozen=True)
class Outline:
    """A pass that is not run.

    Attributes:
        model: Its shapes; on the meta device nothing is allocated.
        layout: Its units.
        wanted: What is collected.
        batches: The examples.
        sampled: How many of them have their mask gradients kept, where the units are too many for B.
        directed: How many of them directions are summed over.
    """

    model: PreTrainedModel
    layout: Layout
    wanted: Wanted
    batches: Batches
    sampled: int = 0
    directed: int = 0

    @cached_property
    def statistics(self) -> Statistics:
        """What the pass ends with, without content."""
        parts: dict[str, dict[str, Tensor]] = {part: {} for part in SUMS}
        for name, tensor in RunningSums(self.model, self.layout, self.wanted).state().items():
            part, _, rest = name.partition("/")
            if rest.endswith("/value"):
                parts[part][rest.removesuffix("/value")] = tensor
        nothing = torch.zeros(0, device=self.model.device)
        rows = {
            group.key: nothing.new_empty(self.sampled, group.count)
            for group in self.layout
            if self.wanted.mask_statistics and self.wanted.is_sampled(group.count)
        }
        sampled = nothing.new_empty(self.sampled if rows else 0, dtype=torch.int64)
        along, weights = empty_directions(self.model, self.wanted)
        return Statistics(
            self.batches.examples,
            **parts,
            mask_rows=rows,
            sampled=sampled,
            directions=along,
            direction_weights=weights,
        )

    @cached_property
    def sums(self) -> list[Tensor]:
        """The sums, each once."""
        return [tensor for part in SUMS for tensor in getattr(self.statistics, part).values()]

    @cached_property
    def layers(self) -> list[Layer]:
        """The model's layers."""
        return [
            self._layer(heads, filters)
            for heads, filters in zip(
                self.layout.of_kind("heads"), self.layout.of_kind("filters"), strict=True
            )
        ]

    @property
    def memory(self) -> Memory:
        """Memory of the pass."""
        held = [*self.model.parameters(), *self.model.buffers()]
        return Memory(
            weights=sum(tensor.nbytes for tensor in held),
            statistics=2 * sum(tensor.nbytes for tensor in self.sums),
            sample=sum(rows.nbytes for rows in self.statistics.mask_rows.values()),
            directions=sum(along.nbytes for along in self.statistics.directions.values()),
            activations=self._activations(),
            workspace=self._workspace(),
        )

    @property
    def operations(self) -> float:
        """Floating-point operations of the pass; outside of the layers, those of a vocabulary alone count."""
        batches, entries = self.batches, {name: one.numel() for name, one in self.statistics.fisher.items()}
        found = 0.0
        for layer in self.layers:
            weights, features = sum(layer.weights.values()), layer.heads.count * layer.heads.width
            found += FORWARD * weights * batches.padded + ATTENTION_FORWARD * features * batches.pairs
            if layer.heads.layer >= self._first:
                found += BACKWARD * (weights - self._without_gradient(layer)) * batches.padded
                found += ATTENTION_BACKWARD * features * batches.pairs
            for name in layer.weights:
                positions = batches.examples if self._at_one_position(layer, name) else batches.tokens
                found += entries.get(name, 0) * (PRODUCT * positions + SQUARE * batches.examples)
        found += (FORWARD + BACKWARD) * sum(self._vocabulary.values()) * batches.padded
        for name in self._vocabulary:
            found += entries.get(name, 0) * (PRODUCT * batches.tokens + SQUARE * batches.examples)
        of_mask = sum(matrix.numel() for matrix in self.statistics.mask_fisher.values())
        return found + PRODUCT * of_mask * batches.examples + self._of_directions

    @property
    def _of_directions(self) -> float:
        """Operations of the pass that sums directions: one of a class is one backward pass, else each is."""
        directions = self.wanted.directions
        if directions is None:
            return 0.0
        passes = 1 if directions.kind == "classes" else directions.count
        weights = sum(sum(layer.weights.values()) for layer in self.layers)
        tokens = self.batches.padded * self.directed / self.batches.examples
        return (FORWARD + passes * (BACKWARD + PRODUCT)) * weights * tokens

    @cached_property
    def _vocabulary(self) -> dict[str, int]:
        """Name and entries of the matrix that predicts tokens at every position; empty without one."""
        output = self.model.get_output_embeddings() if head_of(self.model.config) is MODELLING else None
        if output is None:
            return {}
        names = {id(parameter): name for name, parameter in self.model.named_parameters()}
        return {names[id(output.weight)]: output.weight.numel()}

    @property
    def _outputs(self) -> int:
        """Tokens that are predicted from."""
        return sum(len(self.model.get_parameter(name)) for name in self._vocabulary)

    @cached_property
    def _first(self) -> int:
        """The lowest layer that is listened to: what lies below it has no graph."""
        if self.wanted.mask_statistics or self._from_embeddings:
            return 0
        owned = self.layout.parameters
        return min((owned[name][0].layer for name in self.wanted.parameters), default=0)

    @property
    def _from_embeddings(self) -> bool:
        """Whether there is a graph below the lowest layer."""
        return not self.wanted.parameters.keys() <= self.layout.parameters.keys()

    def _without_gradient(self, layer: Layer) -> int:
        """Entries of the matrices where the graph begins, whose inputs nobody asks for the gradient of."""
        begins = layer.heads.layer == self._first and not self._from_embeddings
        return sum(layer.weights.get(one.parameter, 0) for one in layer.heads.slices[:-1] if begins)

    def _layer(self, heads: UnitGroup, filters: UnitGroup) -> Layer:
        named = {one.parameter: self.model.get_parameter(one.parameter) for one in heads.slices}
        of_filters = {one.parameter: self.model.get_parameter(one.parameter) for one in filters.slices}
        matrices = {name: one for name, one in (named | of_filters).items() if one.ndim > 1}
        gates = sum(of_filters[one.parameter].ndim > 1 for one in filters.slices) - 1
        output = heads.slices[-1]
        hidden = named[output.parameter].shape[1 - output.axes[0]]
        return Layer(heads, filters, {name: one.numel() for name, one in matrices.items()}, gates, hidden)

    def _at_one_position(self, layer: Layer, name: str) -> bool:
        """Whether δ is zero but where the model's head reads: in the last layer, keys and values aside."""
        head = head_of(self.model.config)
        if head is not None and head.reads_all:
            return False
        heads = find_family(self.model.config).heads
        if layer is not self.layers[-1] or isinstance(heads, Unserved):
            return False
        from_all = [one.path for one in heads.inputs if any(piece.shared for piece in one.pieces)]
        return not any(f".{path}." in name for path in from_all)

    def _activations(self) -> int:
        width, tokens = self.model.dtype.itemsize, self.batches.most_tokens
        # Root-mean-square norms keep a copy of their input in float32.
        roots = any(type(module).__name__.endswith("RMSNorm") for module in self.model.modules())
        of_norm = max(width, SINGLE) if roots else width
        of_token = sum(
            (layer.kept_features(self.wanted) + self.batches.longest) * width + 2 * layer.hidden * of_norm
            for layer in self.layers[self._first :]
        )
        # Of a vocabulary its logarithms of probabilities, in float32.
        return (of_token + self._outputs * SINGLE) * tokens

    def _workspace(self) -> int:
        width, batches = self.model.dtype.itemsize, self.batches
        # Of filters autograd has the gradients of what it kept, and two more; a rule its factors in float32.
        of_token = max(
            (2 * layer.gates + 2) * layer.filters.count * width
            + (layer.filters.count + layer.hidden) * SINGLE
            for layer in self.layers
        )
        # Of a vocabulary the logits, those that are learnt, and the gradients of both.
        of_token = max(of_token, self._outputs * 2 * (width + SINGLE))
        waiting = sum(
            (PENDING_ROWS + batches.most_examples) * len(matrix) * SINGLE
            for matrix in self.statistics.mask_fisher.values()
            if matrix.ndim > 1
        )
        largest = max((tensor.nbytes for tensor in self.sums), default=0)
        return of_token * batches.most_tokens + FOLDING * largest + waiting


def require_alike_layers(model: PreTrainedModel, layout: Layout) -> None:
    """Refuse models whose passes cannot be told from the shapes of their layers.

    Args:
        model: The model.
        layout: Its units.

    Raises:
        InputError: Its layers share weights, hold experts, or have heads that are not served.
    """
    if layout.unserved:
        why = "its heads are not among the units"
    elif any(group.output is None for group in layout):
        why = "its experts are differentiated one example at a time"
    elif len(find_family(model.config).layers) > 1:
        why = "its layers share their weights"
    else:
        return
    raise InputError(
        f"no estimate is made for {model.config.model_type}: {why}",
        hint="time 'speu fisher' with --max-examples",
    )
