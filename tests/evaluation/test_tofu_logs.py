"""The experiment that reads published logs, on logs of a few lines made by hand."""

import gzip
import importlib.util
import json
import math
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from speu_cli.evaluation.tofu.measure import measure_tofu

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def logs_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tofu_logs", ROOT / "experiments" / "tofu_logs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def log(**changes: Any) -> dict[str, dict[str, Any]]:
    """Two questions; p is 1/2 and 1/4, of wrong answers 1/8 each, or 1/2 and 1/8."""
    half, quarter, eighth = math.log(2), math.log(4), math.log(8)
    columns = {
        "avg_gt_loss": [half, quarter],
        "avg_paraphrased_loss": [quarter, quarter],
        "average_perturb_loss": [[eighth, eighth], [half, eighth]],
        "generated_text": [["asked", "a cat runs", "the cats run"], ["asked", "", "nothing"]],
        "rouge1_recall": [2 / 3, 0.0],
        "rougeL_recall": [2 / 3, 0.0],
    } | changes
    return {name: {str(i): value for i, value in enumerate(values)} for name, values in columns.items()}


def written(folder: Path, logs_script: ModuleType, **changes: Any) -> dict[str, Any]:
    path = folder / "full.json.gz"
    path.write_bytes(
        gzip.compress(json.dumps({key: log(**changes) for key in logs_script.LOGS.values()}).encode())
    )
    found: dict[str, Any] = logs_script.read(path)
    return found


def test_a_log_gives_the_measures_that_are_known_by_hand(tmp_path: Path, logs_script: ModuleType) -> None:
    logs = written(tmp_path, logs_script)
    found = {name: logs_script.perturbed(one) for name, one in logs.items()}
    measured = {name: metric.value for name, metric in measure_tofu(found, found).items()}
    # R is (1/8)/(1/4) = 1/2, and √(1/2 · 1/8)/(1/4) = 1; with the arithmetic mean 1/2 and 5/4.
    expected = {
        "tofu.forget.probability": 3 / 8,
        "tofu.forget.rouge_l": 1 / 3,
        "tofu.forget.truth_ratio": 3 / 4,
        "tofu.forget.truth_ratio_arithmetic": (1 / 2 + 4 / 5) / 2,
        "tofu.retain.truth_ratio": 1 / 4,
        "tofu.facts.probability": (2 / 3 + 2 / 7) / 2,
        "tofu.authors.truth_ratio": 1 / 4,
    }
    assert {name: measured[name] for name in expected} == pytest.approx(expected)
    by_loop = logs_script.by_loop(logs)
    assert {name: measured[name] for name in by_loop} == pytest.approx(by_loop, rel=1e-12)
    assert len(by_loop) == 13


def test_a_recall_that_is_not_that_of_its_texts_is_found(tmp_path: Path, logs_script: ModuleType) -> None:
    assert logs_script.differing_recalls(written(tmp_path, logs_script)) == (16, 0)
    odd = written(tmp_path, logs_script, rougeL_recall=[2 / 3 + 1e-15, 0.0])
    assert logs_script.differing_recalls(odd) == (16, 4)


def test_measures_that_were_not_published_are_told(tmp_path: Path, logs_script: ModuleType) -> None:
    logs = written(tmp_path, logs_script)
    found = {name: logs_script.perturbed(one) for name, one in logs.items()}
    measured = {name: metric.value for name, metric in measure_tofu(found, found).items()}
    told = list(logs_script.problems("full", measured, logs))
    assert len(told) == 6
    assert not any("by a loop" in one for one in told)
