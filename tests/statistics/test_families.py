"""The laws of the statistics, once for every family that there is a table of."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from laws import PARTS, Case, Notes, largest_difference, make_case
from oracles import statistics as oracle
from speu_cli.statistics.collector import collect
from speu_cli.statistics.sums import Statistics
from speu_cli.statistics.wanted import Wanted, wanted_parameters, wanted_slices
from speu_cli.structures.entries import take
from speu_cli.structures.mask import KeyValue, Mask
from tiny import ALL_FAMILIES, FAMILIES

EXACT = 1e-10
# Its norms compute in float32 whatever the type of the model.
SINGLE = {"gemma3_text": 1e-7}
# The four others have tests of their own, and pictures are no texts.
MORE = tuple(family for family in ALL_FAMILIES if family not in {*FAMILIES, "vit"})
EXPERTS = ("mixtral", "qwen2_moe", "qwen3_moe")
families = pytest.mark.parametrize("family", MORE)


def collected(case: Case, wanted: Wanted, told: Notes | None = None, batch_tokens: int = 40) -> Statistics:
    return collect(
        case.model,
        case.layout,
        case.task,
        case.encoded,
        batch_tokens=batch_tokens,
        wanted=wanted,
        progress=told,
    ).statistics


@families
def test_equal_to_autograd_one_example_at_a_time(family: str, tmp_path: Path) -> None:
    """F and g of all parameters, u and B; the tables' alone are another test's."""
    case, told = make_case(tmp_path, family, count=7), Notes()
    names = wanted_parameters(case.model, case.layout, "all")
    found = collected(case, Wanted(names), told)
    expected = oracle.statistics(case.model, case.layout, case.task, case.encoded, names)
    assert largest_difference(found, expected) < SINGLE.get(family, EXACT)
    # Experts, routers, what relative positions go through, and embeddings of a class of their own.
    assert bool(told.notes) == (family in {*EXPERTS, "opt", "gemma3_text"} or "deberta" in family)


@families
def test_of_what_units_own_rules_know_all_but_what_has_no_examples(family: str, tmp_path: Path) -> None:
    case, told = make_case(tmp_path, family, count=5), Notes()
    names = wanted_parameters(case.model, case.layout, "structures")
    found = collected(case, Wanted(names), told)
    expected = oracle.statistics(case.model, case.layout, case.task, case.encoded, names)
    assert largest_difference(found, expected) < SINGLE.get(family, EXACT)
    assert len(told.notes) == (family in EXPERTS or "deberta" in family)


@families
@pytest.mark.parametrize("kv", ["any", "all"])
def test_the_slices_of_a_mask_are_those_of_the_whole(family: str, kv: KeyValue, tmp_path: Path) -> None:
    case, draw = make_case(tmp_path, family, count=5), torch.Generator().manual_seed(0)
    selected = {group.key: torch.rand(group.count, generator=draw) < 0.5 for group in case.layout}
    mask = Mask(case.layout, selected, kv)
    found = collected(case, Wanted(wanted_slices(mask), mask_statistics=False))
    names = wanted_parameters(case.model, case.layout, "structures")
    whole = collected(case, Wanted(names))
    for name, axes, indices in mask.slices():
        for part in ("fisher", "gradient"):
            mine: Tensor = getattr(found, part)[name]
            expected = take(getattr(whole, part)[name], axes, indices)
            assert mine.shape == expected.shape
            assert (mine - expected).abs().max() <= EXACT * expected.abs().max()
    assert found.fisher.keys() == {name for name, _, _ in mask.slices()}


@pytest.mark.parametrize("family", EXPERTS)
def test_mask_variables_of_experts_without_their_parameters(family: str, tmp_path: Path) -> None:
    """Their gradients come of those of the output projection, which is then not summed."""
    case = make_case(tmp_path, family, count=6)
    told = Notes()
    found = collected(case, Wanted({}), told)
    whole = collected(case, Wanted(wanted_parameters(case.model, case.layout, "structures")))
    assert not found.fisher
    assert len(told.notes) == 1
    for part in PARTS[2:]:
        mine, theirs = getattr(found, part), getattr(whole, part)
        assert mine.keys() == theirs.keys()
        assert all(torch.allclose(mine[key], theirs[key], rtol=1e-9, atol=1e-15) for key in mine)


@pytest.mark.parametrize("family", EXPERTS)
def test_many_filters_of_experts_are_sampled_as_one_group(family: str, tmp_path: Path) -> None:
    case = make_case(tmp_path, family, count=6)
    sampled = case.encoded.keys[:3].sort().values
    found = collected(case, Wanted({}, sampled=sampled, most_units=23))
    assert {tuple(rows.shape) for rows in found.mask_rows.values()} == {(3, 24)}
    assert found.sampled.tolist() == sampled.tolist()
