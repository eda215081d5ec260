"""A few timed batches, and what is concluded from them."""

from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from transformers import PreTrainedModel

from speu_cli.statistics import calibration
from speu_cli.statistics.calibration import Calibration, calibrate
from speu_cli.statistics.wanted import Scope, Wanted, wanted_parameters
from speu_cli.structures.layout import Layout
from tiny import FAMILIES, tiny_model

LENGTHS = [3, 9, 12, 30, 4, 4, 25] * 8


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "LEAST_SECONDS", 0.01)


def parameters(model: PreTrainedModel, layout: Layout, *, scope: Scope = "structures") -> Wanted:
    return Wanted(wanted_parameters(model, layout, scope))


def timed(family: str = "bert", **changes: Any) -> Calibration:
    settings: dict[str, Any] = {"batch_tokens": 120, "device": "cpu", "dtype": torch.float32}
    choose = changes.pop("choose", parameters)
    lengths = changes.pop("lengths", LENGTHS)
    return calibrate(tiny_model(family, layers=4).config, choose, lengths, **settings | changes)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_family_in_every_type(family: str, dtype: torch.dtype) -> None:
    found = timed(family, dtype=dtype)
    assert (found.layers, found.narrowing) == (2, 1)
    assert found.seconds > 0
    assert found.tokens > 0
    assert 0 < found.rate < float("inf")


@pytest.mark.parametrize(
    "choose", [lambda *_: Wanted({}), partial(parameters, scope="all")], ids=["only mask", "all"]
)
@pytest.mark.parametrize("lengths", [[1], [40], [5, 5, 5], LENGTHS])
def test_whatever_is_collected_of_whatever_lengths(choose: Any, lengths: list[int]) -> None:
    assert timed(choose=choose, lengths=lengths).rate > 0


def test_narrower_where_the_processor_would_take_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = 4 * 16 * 16 + 2 * 16 * 24
    monkeypatch.setattr(calibration, "MOST_ENTRIES_ON_A_PROCESSOR", entries - 1)
    assert timed().narrowing == 2


def test_as_narrow_as_can_be_where_nothing_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "free_memory", lambda _: 0)
    assert timed().narrowing == 4


def test_a_batch_that_takes_long_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "LEAST_SECONDS", 1e-9)
    whole = timed()
    monkeypatch.setattr(calibration, "MOST_SECONDS", 0.0)
    assert timed().tokens < whole.tokens


@pytest.mark.parametrize(
    ("told", "expected"), [("4096\n", 4096), ("max\n", None), ("9223372036854771712\n", None), (None, None)]
)
def test_a_container_has_no_more_memory_than_it_is_given(
    told: str | None, expected: int | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if told is not None:
        (tmp_path / "memory.max").write_text(told)
    monkeypatch.setattr(calibration, "LIMITS", (tmp_path / "memory.max",))
    whole = int(psutil.virtual_memory().total)
    assert calibration.total_memory(torch.device("cpu")) == (expected or whole)
