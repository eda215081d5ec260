"""Listening to a model: what its modules see in a forward and a backward pass, as per-example gradients.

No weight gradient is asked of autograd. It carries only the gradients of activations, and the rule of each
module makes factors of them. Whatever lies below the first module that is listened to is not
differentiated at all.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from speu_cli.errors import ArtifactError
from speu_cli.statistics.factors import Factor, together
from speu_cli.statistics.rules import Rule, find_rule
from speu_cli.structures.layout import Layout, UnitGroup


@dataclass(frozen=True)
class Heard:
    """Where a listener takes what it hears."""

    parameter: Callable[[str, Factor], None]
    mask_gradients: Callable[[UnitGroup, Tensor], None]


class Listener:
    """Turns the passes of a model into factors of the parameters that are listened to.

    Args:
        model: The model.
        layout: Its units.
        names: Parameters to listen to.
        units: Listen to the mask variables too.

    Attributes:
        without_rule: Those of ``names`` that no rule covers.
    """

    def __init__(self, model: nn.Module, layout: Layout, names: set[str], *, units: bool) -> None:
        self._names_of = {id(parameter): name for name, parameter in model.named_parameters()}
        self._wanted = names
        self._groups = {group.output: group for group in layout if group.output} if units else {}
        self._rules: dict[str, Rule] = {}
        self.without_rule: set[str] = set()
        for path, module in model.named_modules():
            own = self._own(module).keys()
            rule = None if path in layout.left_to_autograd else find_rule(module)
            if own and rule is not None:
                self._rules[path] = rule
            elif own:
                self.without_rule |= own
        self.leave_to_autograd(model, self.without_rule)
        self._pending: Counter[str] = Counter()
        self._uses: dict[str, list[Factor]] = {}
        self._of_units: dict[str, list[Tensor]] = {}
        self._spans = torch.zeros(0, 2, dtype=torch.int64)
        self._positions = 0
        self._inputs = 0
        self._heard: Heard | None = None

    def leave_to_autograd(self, model: nn.Module, names: set[str]) -> None:
        """Listen to some parameters no more, wherever they are used."""
        self.without_rule |= names
        for path in list(self._rules):
            if self._own(model.get_submodule(path)).keys() <= self.without_rule:
                del self._rules[path]

    @contextmanager
    def attached(self, model: nn.Module) -> Iterator[None]:
        """Hooks on the model's modules, for a while."""
        with ExitStack() as handles:
            for path in self._groups:
                hook = partial(self._hear_units, self._groups[path])
                handles.enter_context(model.get_submodule(path).register_forward_pre_hook(hook))
            for path, rule in self._rules.items():
                hook_output = partial(self._hear_module, path, rule)
                handles.enter_context(model.get_submodule(path).register_forward_hook(hook_output))
            yield

    @contextmanager
    def hearing(self, spans: Tensor, positions: int, heard: Heard, *, windows: int = 1) -> Iterator[None]:
        """Listen to one forward and backward pass.

        Args:
            spans: First row and number of rows of each example in ``[n·t, …]``, int64 ``[n, 2]``.
            positions: t, padding included, over all windows of an example.
            heard: Is given each parameter's and each group's gradients once, when the last use is known.
            windows: Rows of an example in the model's inputs.

        Yields:
            Nothing.
        """
        self._spans, self._positions, self._heard = spans, positions, heard
        self._inputs = len(spans) * windows
        self._pending.clear()
        self._uses.clear()
        self._of_units.clear()
        try:
            yield
            # Where a use led to no output, the others are all there is.
            for name in list(self._uses):
                heard.parameter(name, together(self._uses.pop(name)))
            for group in self._groups.values():
                if group.key in self._of_units:
                    heard.mask_gradients(group, torch.stack(self._of_units.pop(group.key)).sum(0))
        finally:
            self._heard = None
            self._uses.clear()
            self._of_units.clear()

    @property
    def parameters(self) -> set[str]:
        """Parameters that rules cover."""
        return self._wanted - self.without_rule

    def _own(self, module: nn.Module) -> dict[str, str]:
        """Names in the model, and in the module, of a module's own parameters that are listened to."""
        own = {
            self._names_of[id(parameter)]: name
            for name, parameter in module._parameters.items()
            if parameter is not None
        }
        return {name: local for name, local in own.items() if name in self._wanted}

    def _hear_units(self, group: UnitGroup, _: nn.Module, args: tuple[Any, ...]) -> None:
        if self._heard is None:
            return
        inputs: Tensor = args[0]
        if not inputs.requires_grad:
            inputs.requires_grad_()
        self._pending[group.key] += 1
        inputs.register_hook(partial(self._units_of, group, inputs.detach()))

    def _units_of(self, group: UnitGroup, inputs: Tensor, deltas: Tensor) -> None:
        """∂ℓ/∂m_i = Σ over positions and the unit's features of a ⊙ ∂ℓ/∂a, for a scaled by m at m = 1."""
        if self._heard is not None:
            n = len(self._spans)
            wide = torch.promote_types(inputs.dtype, torch.float32)
            products = (inputs * deltas).unflatten(-1, (group.count, group.width))
            of_units = products.reshape(n, -1, group.count, group.width).sum((1, 3), dtype=wide)
            self._of_units.setdefault(group.key, []).append(of_units)
            self._pending[group.key] -= 1
            if not self._pending[group.key]:
                self._heard.mask_gradients(group, torch.stack(self._of_units.pop(group.key)).sum(0))

    def _hear_module(
        self, path: str, rule: Rule, module: nn.Module, args: tuple[Any, ...], output: Tensor
    ) -> Tensor | None:
        if self._heard is None:
            return None
        spread = self._spread(path, output)
        # Nothing below the first modules listened to has a gradient: there the graph begins.
        if not spread.requires_grad:
            spread.requires_grad_()
        self._pending.update(self._own(module).keys() - self.without_rule)
        spread.register_hook(partial(self._factors_of, path, rule, module, args[0].detach()))
        return spread

    def _spread(self, path: str, output: Tensor) -> Tensor:
        """An output that all examples share, as position embeddings are, once for each row of theirs.

        Returns:
            The output with the examples first.

        Raises:
            ArtifactError: The output's first dimension is not the examples'.
        """
        n = len(self._spans)
        if len(output) == 1 and self._inputs > 1:
            return output.expand(self._inputs, *output.shape[1:])
        if output.shape[:-1].numel() % n:
            raise ArtifactError(
                f"module '{path}' gives an output of shape {list(output.shape)} for {n} examples, expected "
                "the examples first"
            )
        return output

    def _factors_of(self, path: str, rule: Rule, module: nn.Module, inputs: Tensor, deltas: Tensor) -> None:
        if self._heard is None:
            return
        own = {local: name for name, local in self._own(module).items() if name not in self.without_rule}
        rows, spans = self._rows(deltas)
        # Where layers are spread over devices, a module's input may come from that of the layer before.
        inputs = inputs.to(deltas.device)
        # A table is looked up by numbers, one a row; what all examples share is theirs each.
        width = (-1,) if inputs.is_floating_point() else ()
        flat = inputs.expand(*deltas.shape[:-1], *width).reshape(rows, *width)
        for local, factor in rule(module, flat, deltas.reshape(rows, -1), spans).items():
            if local not in own:
                continue
            name = own[local]
            self._uses.setdefault(name, []).append(factor)
            self._pending[name] -= 1
            if not self._pending[name]:
                self._heard.parameter(name, together(self._uses.pop(name)))

    def _rows(self, deltas: Tensor) -> tuple[int, Tensor]:
        """How many rows a module's output has, and which are of which example: its tokens, or all alike."""
        n, rows = len(self._spans), deltas.shape[:-1].numel()
        if rows == n * self._positions:
            return rows, self._spans
        each = rows // n
        return rows, torch.tensor([[k * each, each] for k in range(n)])
