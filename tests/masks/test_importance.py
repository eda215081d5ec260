"""Eq. 8 and Eq. 13 from per-example mask gradients."""

from pathlib import Path

import pytest
import torch

from laws import make_case
from oracles import statistics as oracle
from speu_cli.errors import InputError
from speu_cli.masks.importance import curvature_scale, importance, warm_start_importance
from speu_cli.masks.localization import MaskSettings, localize, localize_before_request
from speu_cli.statistics.collector import collect


@pytest.mark.parametrize("curvature", ["total", "mean"])
def test_importance_is_eq_8(curvature: str, tmp_path: Path) -> None:
    case = make_case(tmp_path)
    forget, remaining = range(4), range(4, len(case.encoded))
    rows = [m for _, m in oracle.example_gradients(case.model, case.layout, case.task, case.encoded)]
    of_forget, of_remaining = (
        collect(case.model, case.layout, case.task, case.encoded.select(part), batch_tokens=100).statistics
        for part in (forget, remaining)
    )
    c = curvature_scale(curvature, len(remaining))
    assert c == {"total": 1, "mean": 1 / len(remaining)}[curvature]
    found = importance(of_forget, of_remaining, c)
    for group in case.layout:
        u = sum(rows[x][group.key] for x in forget)
        diagonal = sum(rows[x][group.key] ** 2 for x in remaining)
        assert torch.allclose(found[group.key], u + 0.5 * c * diagonal)


def test_warm_start_is_eq_13(tmp_path: Path) -> None:
    case = make_case(tmp_path)
    rows = [m for _, m in oracle.example_gradients(case.model, case.layout, case.task, case.encoded)]
    full = collect(case.model, case.layout, case.task, case.encoded, batch_tokens=100).statistics
    found = warm_start_importance(full)
    for group in case.layout:
        assert torch.allclose(found[group.key], sum(m[group.key] ** 2 for m in rows))


def test_localization_rearranges_and_keeps_the_counts(tmp_path: Path) -> None:
    case = make_case(tmp_path)
    full = collect(case.model, case.layout, case.task, case.encoded, batch_tokens=100).statistics
    forget = collect(
        case.model, case.layout, case.task, case.encoded.select(range(4)), batch_tokens=100
    ).statistics
    settings = MaskSettings(sparsity=0.75)
    for localized in (
        localize(forget, full - forget, case.layout, settings),
        localize_before_request(full, case.layout, settings),
    ):
        assert localized.rearranged.mask.counts() == {"heads": (2, 8), "filters": (12, 48)}
        assert localized.rearranged.after <= localized.rearranged.before


@pytest.mark.parametrize(
    "wrong",
    [{"sparsity": 1.0}, {"sparsity": -0.1}, {"sparsity": float("nan")}, {"kinds": "all"}, {"rounds": -1}],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match="expected"):
        MaskSettings(**wrong)
