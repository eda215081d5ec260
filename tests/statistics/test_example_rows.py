"""Gradients of single examples, side by side, against autograd."""

from pathlib import Path

import pytest
import torch

from laws import make_case
from oracles import statistics as oracle
from speu_cli.statistics.example_rows import example_rows
from speu_cli.statistics.wanted import wanted_slices
from speu_cli.structures.entries import take
from speu_cli.structures.mask import Mask
from tiny import ALL_FAMILIES


@pytest.mark.parametrize("batch_tokens", [1, 60, 1000])
@pytest.mark.parametrize("family", ["bert", "llama"])
def test_each_row_is_the_gradient_of_its_example(family: str, batch_tokens: int, tmp_path: Path) -> None:
    agree(family, batch_tokens, tmp_path)


@pytest.mark.parametrize("family", sorted(set(ALL_FAMILIES) - {"bert", "llama", "vit"}))
def test_in_every_family(family: str, tmp_path: Path) -> None:
    agree(family, 200, tmp_path)


def agree(family: str, batch_tokens: int, folder: Path) -> None:
    case = make_case(folder, family, count=7)
    mask = Mask(case.layout, {group.key: torch.arange(group.count) % 2 == 0 for group in case.layout})
    parts = wanted_slices(mask)
    found = example_rows(case.model, case.layout, case.task, case.encoded, parts, batch_tokens=batch_tokens)
    assert found.gradients.keys() == parts.keys()
    expected = oracle.example_gradients(case.model, case.layout, case.task, case.encoded)
    for position, (gradients, _) in enumerate(expected):
        for name, part in parts.items():
            assert part is not None
            row = take(gradients[name], part.axes, part.indices).flatten()
            assert torch.allclose(found.gradients[name][position], row, rtol=1e-9, atol=1e-14), name
    inputs, labels = case.encoded.collate(range(7))
    with torch.no_grad():
        losses = case.task.losses(case.model(**inputs).logits, labels)
    assert torch.allclose(found.losses, losses, rtol=1e-9)
