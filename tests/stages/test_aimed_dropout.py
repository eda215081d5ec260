"""Which of the forgotten examples would be known better unseen: passes with dropout tell."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from aimed_homes import aims_of, opened, with_statistics
from torch import nn

import speu_cli
from memorised import Home, memorised
from speu_cli.checkpoints.write import read_record
from speu_cli.stages.aimed import aiming, dropout
from speu_cli.stages.aimed.dropout import margins_with_dropout
from speu_cli.stages.session import Session
from speu_cli.tasks.encoded import Encoded
from speu_cli.tasks.margins import Floats

RECIPE = 'target = "each"\nsteps = 4\nridge = 0.05\nheld = 10\nchecked = 20\nwidth = 1e9\n'
PASSES = 3


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return with_statistics(memorised(tmp_path_factory.mktemp("bert")))


class Drops(nn.Module):
    """Dropout as the paper has it, one entry after the other in the order of the numbers."""

    def __init__(self, rate: float, numbers: torch.Generator) -> None:
        super().__init__()
        self.rate, self.numbers = rate, numbers

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        drawn = torch.rand(given.numel(), generator=self.numbers, dtype=torch.float64).tolist()
        stays = [float(one < 1 - self.rate) for one in drawn]
        return given * (torch.tensor(stays, dtype=given.dtype).reshape(given.shape) / (1 - self.rate))


def test_they_are_the_mean_over_passes_with_dropout(bert: Home) -> None:
    session, _, forget = opened(bert)
    model, state = session.checkpoint.model, torch.random.get_rng_state()
    found = margins_with_dropout(session, forget.encoded, PASSES)
    again = margins_with_dropout(session, forget.encoded, PASSES)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not any(part.training for part in model.modules())
    without = session.task.margins.of(session.losses(forget.encoded, ""))
    numbers = torch.Generator().manual_seed(0)
    for name, part in list(model.named_modules()):
        if isinstance(part, nn.Dropout):
            model.set_submodule(name, Drops(part.p, numbers))
    each = [session.task.margins.of(session.losses(forget.encoded, "")) for _ in range(PASSES)]
    assert found is not None
    assert again is not None
    assert np.array_equal(found, again)
    assert np.allclose(found, np.mean(each, 0), rtol=1e-12)
    assert not np.allclose(each[0], each[1], rtol=1e-3)
    assert not np.allclose(found, without, rtol=1e-3)


def test_after_an_error_the_model_is_as_it_was(bert: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    session, _, forget = opened(bert)
    before = session.losses(forget.encoded, "")

    def stopped(*_: object) -> Floats:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Session, "losses", stopped)
        with pytest.raises(KeyboardInterrupt):
            margins_with_dropout(session, forget.encoded, PASSES)
    assert np.array_equal(session.losses(forget.encoded, ""), before)


def test_a_model_without_dropout_tells_nothing(bert: Home, tmp_path: Path) -> None:
    llama = with_statistics(memorised(tmp_path, "llama"))
    session, file, forget = opened(llama)
    assert margins_with_dropout(session, forget.encoded, PASSES) is None
    by_margin, asked = aims_of(session, file, forget), aims_of(session, file, forget, PASSES)
    assert np.array_equal(by_margin.margins, asked.margins)
    session, _, forget = opened(bert)
    assert margins_with_dropout(session, forget.encoded, 0) is None


def test_who_stands_it_ends_higher(bert: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """What each is known like now says the contrary."""
    session, file, forget = opened(bert)
    file = replace(file, holdout_losses=np.linspace(2, 4, len(file.holdout_losses)))
    monkeypatch.setattr(
        aiming, "margins_with_dropout", lambda session, encoded, passes: np.arange(len(encoded), dtype=float)
    )
    found = aims_of(session, file, forget, PASSES).margins
    assert (np.diff(found) > 0).all()
    monkeypatch.setattr(
        aiming, "margins_with_dropout", lambda session, encoded, passes: -np.arange(len(encoded), dtype=float)
    )
    assert np.allclose(aims_of(session, file, forget, PASSES).margins, found[::-1])


def test_a_recipe_asks_for_them_and_the_record_says_so(
    bert: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def told(session: Session, encoded: Encoded, passes: int) -> Floats | None:
        asked.append(passes)
        return dropout.margins_with_dropout(session, encoded, passes)

    monkeypatch.setattr(aiming, "margins_with_dropout", told)
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(f"{RECIPE}dropout_passes = {PASSES}\n")
    output, data, ids = tmp_path / "new", bert.path("train.jsonl"), bert.path("ids.txt")
    result = speu_cli.unlearn(
        bert.model, bert.folder / "fisher", data, ids, output, sparsity=0.5, recipe=recipe
    )
    assert result.criterion["forget.reached"] > 0.5
    assert asked == [PASSES]
    record = read_record(output)
    assert record is not None
    assert record["step"]["recipe"]["dropout_passes"] == PASSES
