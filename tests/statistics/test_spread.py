"""A model whose layers lie on several devices: the statistics are those of one device."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from elsewhere import CPU, FIRST, SECOND, Elsewhere, place_of, spread
from laws import Case, largest_difference, make_case
from speu_cli import fisher
from speu_cli.stages.runtime import Runtime
from speu_cli.statistics.collector import Collected, Keeper, collect
from speu_cli.statistics.rules.registry import RULES
from speu_cli.statistics.wanted import Wanted, wanted_parameters
from tiny import tiny_checkpoint, tiny_rows, write_rows

EXACT = 1e-10
MOST_UNITS = 4  # so that the filters have a sample in place of B


class KeptAfter:
    """Keeps what there is after the first batch."""

    def __init__(self, kept: dict[str, Tensor] | None = None) -> None:
        self.kept = kept
        self._resumes = kept is not None

    def load(self) -> dict[str, Tensor] | None:
        return self.kept if self._resumes else None

    def between_batches(self, state: Callable[[], dict[str, Tensor]]) -> None:
        if self.kept is None:
            self.kept = {name: tensor.cpu().clone() for name, tensor in state().items()}

    def interrupted(self, state: Callable[[], dict[str, Tensor]]) -> None:
        raise AssertionError("nothing interrupts it")


def collected(case: Case, keeper: Keeper | None = None) -> Collected:
    wanted = Wanted(
        wanted_parameters(case.model, case.layout, "all"),
        sampled=case.encoded.keys[::3],
        most_units=MOST_UNITS,
    )
    return collect(
        case.model, case.layout, case.task, case.encoded, batch_tokens=60, wanted=wanted, keeper=keeper
    )


@pytest.mark.parametrize(("family", "without_rule"), [("bert", False), ("bert", True), ("llama", False)])
def test_layers_on_two_devices_give_the_statistics_of_one(
    family: str, without_rule: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if without_rule:
        monkeypatch.delitem(RULES, f"{nn.LayerNorm.__module__}.LayerNorm")
    case = make_case(tmp_path, family, count=7)
    expected = collected(case)
    with Elsewhere():
        spread(case.model)
        assert {place_of(parameter) for parameter in case.model.parameters()} == {FIRST, SECOND}
        keeper = KeptAfter()
        found = collected(case, keeper)
        resumed = collected(case, KeptAfter(keeper.kept))
    assert 0 < resumed.resumed < len(case.encoded)
    for one in (found, resumed):
        assert largest_difference(one.statistics, expected.statistics) < EXACT
        assert {place_of(tensor) for tensor in one.statistics.fisher.values()} == {CPU}
        assert torch.equal(one.losses, expected.losses)
        for key, rows in expected.statistics.mask_rows.items():
            assert torch.allclose(one.statistics.mask_rows[key], rows, rtol=EXACT, atol=EXACT)


def test_the_devices_do_not_mix() -> None:
    """What the test above rests on."""
    with Elsewhere():
        first, second = torch.ones(3, device=FIRST), torch.ones(3, device=SECOND)
        assert (first.device, second.device, torch.ones(3).device) == (FIRST, SECOND, CPU)
        for other in (second, torch.ones(3)):
            with pytest.raises(RuntimeError, match="expected one device"):
                first + other
        assert (first + second.to(FIRST)).device == FIRST
        assert (first + torch.tensor(1.0)).tolist() == [2.0] * 3


def test_spread_over_what_is_there_gives_the_file_of_the_processor(tmp_path: Path) -> None:
    if torch.cuda.is_available() or torch.backends.mps.is_available():
        pytest.skip("elsewhere the bytes are those of another device")
    model = tiny_checkpoint(tmp_path / "model")
    data = str(write_rows(tmp_path / "rows.jsonl", tiny_rows(9, pairs=True)))
    for device in ("cpu", "auto"):
        fisher(model, data, tmp_path / device, holdout=data, runtime=Runtime(device=device))
    assert (tmp_path / "auto").read_bytes() == (tmp_path / "cpu").read_bytes()
