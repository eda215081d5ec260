"""What tells before forgetting which examples would be known better unseen."""

import json
from pathlib import Path

import numpy as np
import pytest
import unseen_order
from scipy.stats import spearmanr

import speu_cli
from memorised import FORGET, Home, memorised
from speu_cli.data.columns import DataChoice
from speu_cli.data.ids import read_ids
from speu_cli.stages.runtime import Runtime
from speu_cli.stages.session import open_session
from tiny import tiny_checkpoint

OWN = 0.1  # the rate of the tiny models
WITH_DROPOUT = {"1 with dropout", "2 with dropout", f"2 with dropout of {OWN}", "2 with dropout of 0.5"}
NAMES = {"margin", *WITH_DROPOUT, "leave-one-out", "retrained 2"}


@pytest.mark.parametrize("family", ["bert", "llama"])
def test_correlations_with_the_first_retrained_model(
    family: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A Llama has no dropout."""
    home = memorised(tmp_path / "home", family)
    fisher, output, retrained = tmp_path / "fisher", tmp_path / "found.json", tmp_path / "retrained"
    speu_cli.fisher(home.model, home.path("train.jsonl"), fisher, holdout=home.path("dev.jsonl"))
    tiny_checkpoint(retrained, family, seed=1)
    asked = [str(home.model), "--fisher", str(fisher), "--data", home.path("train.jsonl")]
    asked += ["--forget", home.path("ids.txt"), "--reference", str(retrained), str(home.model)]
    unseen_order.main([*asked, "--passes", "1", "2", "--rates", str(OWN), "0.5", "-o", str(output)])
    found = json.loads(output.read_text())
    assert json.loads(capsys.readouterr().out) == found
    told = found["rank_correlation"]
    assert (found["examples"], told.keys()) == (
        FORGET,
        NAMES - WITH_DROPOUT if family == "llama" else NAMES,
    )
    if family == "bert":
        assert told[f"2 with dropout of {OWN}"] == told["2 with dropout"]
    assert told["margin"] == told["retrained 2"]  # the second is the original model
    expected = spearmanr(losses(home, home.model), losses(home, retrained)).statistic
    assert told["margin"] == pytest.approx(expected)


def losses(home: Home, model: Path) -> np.ndarray:
    session = open_session(model, DataChoice(), Runtime())
    examples = session.read(home.path("train.jsonl"))
    return session.losses(session.encode(examples.select(read_ids(home.path("ids.txt")))), "losses")
