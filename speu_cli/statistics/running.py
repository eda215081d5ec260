"""The running sums of a pass: what has been added so far, batch by batch."""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from speu_cli.statistics.factors import Factor
from speu_cli.statistics.sums import Statistics
from speu_cli.statistics.totals import ADDITIONS, Total
from speu_cli.statistics.wanted import Part, Wanted
from speu_cli.structures.entries import taken_shape
from speu_cli.structures.layout import Layout, UnitGroup

# Rows of mask gradients gathered for one product, which touches the whole of B.
PENDING_ROWS = 256


class RunningSums:
    """Totals of everything that a pass wants, each on the device of its parameter.

    Args:
        model: The model.
        layout: Its units.
        wanted: What is summed.

    Attributes:
        examples: How many have been added.
    """

    def __init__(self, model: nn.Module, layout: Layout, wanted: Wanted) -> None:
        self.examples = 0
        self._wanted = wanted
        self._batches = 0
        self._fisher: dict[str, Total] = {}
        self._gradient: dict[str, Total] = {}
        for name, part in wanted.parameters.items():
            parameter = model.get_parameter(name)
            shape = shape_of(parameter, part)
            for totals in (self._fisher, self._gradient):
                totals[name] = Total(shape, wide(parameter.dtype), parameter.device)
        self._mask_gradient: dict[str, Total] = {}
        self._mask_fisher: dict[str, Total] = {}
        for group in layout if wanted.mask_statistics else ():
            weight = model.get_parameter(group.slices[-1].parameter)
            square = (group.count,) if wanted.is_sampled(group.count) else (group.count, group.count)
            self._mask_gradient[group.key] = Total((group.count,), wide(weight.dtype), weight.device)
            self._mask_fisher[group.key] = Total(square, wide(weight.dtype), weight.device)
        # Rows that wait for their product, and rows that are kept, with the keys of their examples.
        self._pending: dict[str, list[Tensor]] = {key: [] for key in self._mask_gradient}
        self._rows: dict[str, list[Tensor]] = {
            group.key: [] for group in layout if wanted.mask_statistics and wanted.is_sampled(group.count)
        }
        self._keys: dict[str, list[Tensor]] = {key: [] for key in self._rows}

    def add_parameter(self, name: str, factor: Factor) -> None:
        """Add a batch's gradients of one parameter."""
        part = self._wanted.parameters[name]
        chosen = factor if part is None else factor.select(part)
        chosen.add_to(self._fisher[name].small, self._gradient[name].small)

    def add_mask_gradients(self, group: UnitGroup, gradients: Tensor, keys: Tensor) -> None:
        """Add a batch's mask gradients ``[n, units]`` of examples with these keys."""
        gradients = gradients.to(self._mask_gradient[group.key].small.dtype)
        summed = gradients.sum(0)
        if group.key in self._rows:
            # All is computed before any of it is added: memory may run out in between.
            squared, chosen = gradients.square().sum(0), torch.isin(keys, self._wanted.sampled)
            kept = gradients[chosen.to(gradients.device)].cpu()
            self._mask_fisher[group.key].small += squared
            self._rows[group.key].append(kept)
            self._keys[group.key].append(keys[chosen])
        else:
            self._pending[group.key].append(gradients)
        self._mask_gradient[group.key].small += summed

    def batch_done(self, examples: int) -> None:
        """Count a batch whose every part has been added."""
        for key, pending in self._pending.items():
            if sum(map(len, pending)) >= PENDING_ROWS:
                self._flush(key)
        self.examples += examples
        self._batches += 1
        if self._batches % ADDITIONS == 0:
            for total in self._totals():
                total.fold()

    def statistics(self, dtype: torch.dtype = torch.float64) -> Statistics:
        """The sums, on the CPU; in float32 without a copy. Nothing can be added afterwards."""
        for key in self._pending:
            self._flush(key)

        def drained(totals: dict[str, Total]) -> dict[str, Tensor]:
            return {name: totals.pop(name).result(dtype) for name in list(totals)}

        keys = next(iter(self._keys.values()), [])
        sampled, order = (torch.cat(keys) if keys else torch.zeros(0, dtype=torch.int64)).sort()
        rows = {key: torch.cat(kept).to(dtype)[order] for key, kept in self._rows.items() if kept}
        rows |= {
            key: torch.zeros(0, len(self._mask_gradient[key].value), dtype=dtype)
            for key, kept in self._rows.items()
            if not kept
        }
        return Statistics(
            self.examples,
            fisher=drained(self._fisher),
            gradient=drained(self._gradient),
            mask_gradient=drained(self._mask_gradient),
            mask_fisher=drained(self._mask_fisher),
            mask_rows=rows,
            sampled=sampled,
        )

    def state(self) -> dict[str, Tensor]:
        """Everything that a later process needs to go on and end with the same bits."""
        tensors = {"counts": torch.tensor([self.examples, self._batches])}
        for part, name, total in self._named_totals():
            tensors |= {f"{part}/{name}/value": total.value, f"{part}/{name}/small": total.small}
        for part, lists in (("pending", self._pending), ("rows", self._rows), ("keys", self._keys)):
            tensors |= {f"{part}/{key}": torch.cat(kept) for key, kept in lists.items() if kept}
        return tensors

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a :meth:`state`, given to sums of the same model, layout and wishes.

        Args:
            state: What :meth:`state` gave.

        Raises:
            KeyError: It is of other sums.
        """
        self.examples, self._batches = state["counts"].tolist()
        for part, name, total in self._named_totals():
            total.value.copy_(state[f"{part}/{name}/value"])
            total.small.copy_(state[f"{part}/{name}/small"])
        for part, lists in (("pending", self._pending), ("rows", self._rows), ("keys", self._keys)):
            for key, kept in lists.items():
                like = self._mask_gradient[key].value
                place = like.device if part == "pending" else torch.device("cpu")
                kept[:] = [state[f"{part}/{key}"].to(place)] if f"{part}/{key}" in state else []

    def clear(self) -> None:
        """Forget everything, as after a trial."""
        self.examples = self._batches = 0
        for total in self._totals():
            total.value.zero_()
            total.small.zero_()
        for lists in (self._pending, self._rows, self._keys):
            for kept in lists.values():
                kept.clear()

    def _flush(self, key: str) -> None:
        if self._pending[key]:
            rows = torch.cat(self._pending[key])
            self._mask_fisher[key].small.addmm_(rows.T, rows)
            self._pending[key].clear()

    def _named_totals(self) -> Iterator[tuple[str, str, Total]]:
        parts: Sequence[tuple[str, dict[str, Total]]] = (
            ("fisher", self._fisher),
            ("gradient", self._gradient),
            ("mask_gradient", self._mask_gradient),
            ("mask_fisher", self._mask_fisher),
        )
        for part, totals in parts:
            for name, total in totals.items():
                yield part, name, total

    def _totals(self) -> Iterator[Total]:
        return (total for _, _, total in self._named_totals())


def shape_of(parameter: Tensor, part: Part | None) -> torch.Size:
    """The shape of a part of a parameter, or of all of it."""
    if part is None:
        return parameter.shape
    return taken_shape(parameter.shape, part.axes, len(part.indices))


def wide(dtype: torch.dtype) -> torch.dtype:
    """The type to sum in: float32 at least."""
    return torch.promote_types(dtype, torch.float32)
