"""The running sums of a pass: kept between batches, taken up again, forgotten."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from laws import PARTS
from speu_cli.statistics import running
from speu_cli.statistics.factors import Dense
from speu_cli.statistics.running import RunningSums
from speu_cli.statistics.sums import Statistics
from speu_cli.statistics.totals import ADDITIONS
from speu_cli.statistics.wanted import Part, Wanted, wanted_parameters
from speu_cli.structures.layout import find_layout
from tiny import tiny_model

NAMES = ("classifier.bias", "bert.encoder.layer.0.intermediate.dense.bias")
BATCH = 7
MANY = 3 * ADDITIONS + 5


@dataclass(frozen=True)
class Gradients:
    """Of a batch, by parameter and by group, with the keys of its examples."""

    parameters: dict[str, Tensor]
    units: dict[str, Tensor]
    keys: Tensor


def new_sums(dtype: torch.dtype = torch.float32, *, part: Part | None = None) -> RunningSums:
    """With a sample of the filters' mask gradients, and B of the heads'."""
    model = tiny_model("bert").to(dtype)
    parameters = {NAMES[0]: None, NAMES[1]: part}
    return RunningSums(
        model, find_layout(model), Wanted(parameters, sampled=torch.arange(0, 999, 5), most_units=4)
    )


def batches(count: int) -> list[Gradients]:
    model, draw = tiny_model("bert"), torch.Generator().manual_seed(0)
    layout = find_layout(model)
    return [
        Gradients(
            {name: torch.randn(BATCH, *model.get_parameter(name).shape, generator=draw) for name in NAMES},
            {group.key: torch.randn(BATCH, group.count, generator=draw) for group in layout},
            torch.arange(BATCH) + BATCH * number,
        )
        for number in range(count)
    ]


def add(sums: RunningSums, given: list[Gradients]) -> RunningSums:
    groups = {group.key: group for group in find_layout(tiny_model("bert"))}
    for batch in given:
        for name, gradients in batch.parameters.items():
            sums.add_parameter(name, Dense(gradients.clone))
        for key, gradients in batch.units.items():
            sums.add_mask_gradients(groups[key], gradients, batch.keys)
        sums.batch_done(BATCH)
    return sums


def assert_same_bits(one: Statistics, other: Statistics) -> None:
    assert one.count == other.count
    assert torch.equal(one.sampled, other.sampled)
    for part in (*PARTS, "mask_rows"):
        mine, theirs = getattr(one, part), getattr(other, part)
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[name], theirs[name]) for name in mine), part


def test_sums_of_all_batches() -> None:
    given = batches(MANY)
    found = add(new_sums(torch.float64), given).statistics()
    assert found.count == MANY * BATCH
    for name in NAMES:
        gradients = torch.cat([batch.parameters[name] for batch in given]).double()
        assert torch.allclose(found.fisher[name], (gradients**2).sum(0), rtol=1e-12)
        assert torch.allclose(found.gradient[name], gradients.sum(0), rtol=1e-12, atol=1e-10)
    keys = torch.cat([batch.keys for batch in given])
    assert torch.equal(found.sampled, keys[keys % 5 == 0])
    for key in given[0].units:
        rows = torch.cat([batch.units[key] for batch in given]).double()
        assert torch.allclose(found.mask_gradient[key], rows.sum(0), rtol=1e-12, atol=1e-10)
        if key.startswith("heads"):
            assert torch.allclose(found.mask_fisher[key], rows.T @ rows, rtol=1e-12, atol=1e-10)
        else:
            assert torch.allclose(found.mask_fisher[key], (rows**2).sum(0), rtol=1e-12)
            assert torch.equal(found.mask_rows[key], rows[keys % 5 == 0])


def test_only_the_wanted_part_of_a_parameter_is_summed() -> None:
    given, indices = batches(3), torch.tensor([2, 9, 23])
    whole = add(new_sums(), given).statistics()
    part = add(new_sums(part=Part((0,), indices)), given).statistics()
    assert torch.equal(part.fisher[NAMES[1]], whole.fisher[NAMES[1]][indices])
    assert torch.equal(part.gradient[NAMES[1]], whole.gradient[NAMES[1]][indices])
    assert torch.equal(part.fisher[NAMES[0]], whole.fisher[NAMES[0]])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("stop", [0, 1, ADDITIONS - 1, ADDITIONS, ADDITIONS + 1, MANY])
def test_a_state_that_is_taken_up_ends_with_the_same_bits(dtype: torch.dtype, stop: int) -> None:
    given = batches(MANY)
    unbroken = add(new_sums(dtype), given).statistics()
    first = add(new_sums(dtype), given[:stop])
    state = {name: tensor.clone() for name, tensor in first.state().items()}
    second = add(new_sums(dtype), given[stop // 2 : stop])  # what was in it is replaced
    second.restore(state)
    assert second.examples == stop * BATCH
    add(second, given[stop:])
    assert_same_bits(second.statistics(), unbroken)


def test_telling_the_state_changes_nothing() -> None:
    given = batches(MANY)
    watched = new_sums()
    for batch in given:
        add(watched, [batch]).state()
    assert_same_bits(watched.statistics(), add(new_sums(), given).statistics())


def test_a_state_of_other_sums_is_refused() -> None:
    state = add(new_sums(), batches(1)).state()
    model = tiny_model("bert")
    other = RunningSums(
        model, find_layout(model), Wanted(wanted_parameters(model, find_layout(model), "all"))
    )
    with pytest.raises(KeyError):
        other.restore(state)


def test_what_is_cleared_leaves_nothing() -> None:
    given = batches(MANY)
    sums = add(new_sums(), given)
    sums.clear()
    assert sums.examples == 0
    assert_same_bits(add(sums, given[:40]).statistics(), add(new_sums(), given[:40]).statistics())


def test_gathered_mask_gradients_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the product does not depend on how many are gathered."""
    given = batches(MANY)
    expected = add(new_sums(torch.float64), given).statistics()
    monkeypatch.setattr(running, "PENDING_ROWS", 2 * BATCH)
    few = new_sums(torch.float64)
    for batch in given:
        add(few, [batch])
        assert sum(map(len, few._pending["heads/0"])) < 2 * BATCH
    found = few.statistics()
    for key, square in expected.mask_fisher.items():
        assert torch.allclose(found.mask_fisher[key], square, rtol=1e-12, atol=1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_many_batches_do_not_wear_the_sums_out(dtype: torch.dtype) -> None:
    """Of a half type as of single precision: both are summed in it."""
    count, of_each = 5000, torch.tensor([[0.1, 1 / 3]]).to(dtype)
    sums = new_sums(dtype)
    for _ in range(count):
        sums.add_parameter(NAMES[0], Dense(of_each.clone))
        sums.batch_done(1)
    expected = count * of_each[0].double()
    found = sums.statistics(torch.float32)
    assert ((found.gradient[NAMES[0]] - expected).abs() <= 1e-6 * expected).all()
    expected = count * of_each[0].double() ** 2
    assert ((found.fisher[NAMES[0]] - expected).abs() <= 1e-6 * expected).all()
