"""Which ends of answers a model finds, and whether together."""

import json
from pathlib import Path

import answer_ends
import numpy as np
import pytest
import torch
from tiny_tasks import answering, questions, save

from speu_cli.data.columns import DataChoice
from speu_cli.stages.runtime import Runtime
from speu_cli.stages.session import open_session
from speu_cli.tasks.windows import ABSENT
from tiny import write_ids, write_rows

ROWS, ASKED = 30, 21
FIGURES = ("none", "one", "both", "correlation")


def test_an_end_is_missed_where_any_window_misses_it() -> None:
    """Three examples of two windows; the last one has only one."""
    labels = torch.tensor([[[1, 2], [0, 0]], [[1, 2], [0, 0]], [[3, 3], [ABSENT, ABSENT]]])
    logits = torch.zeros(6, 4, 2)
    likeliest = [(1, 2), (0, 0), (1, 0), (2, 0), (3, 2), (1, 1)]
    for window, (start, end) in enumerate(likeliest):
        logits[window, start, 0] = logits[window, end, 1] = 1.0
    assert answer_ends.Missed(0).losses(logits, labels).tolist() == [0.0, 1.0, 0.0]
    assert answer_ends.Missed(1).losses(logits, labels).tolist() == [0.0, 1.0, 1.0]


def test_the_figures_are_those_of_one_example_after_the_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path / "model", answering())
    rows = questions(ROWS, longest=6, unanswerable=False)
    data = write_rows(tmp_path / "rows.jsonl", rows)
    ids = write_ids(tmp_path / "ids.txt", [row["id"] for row in rows[:ASKED]])
    output = tmp_path / "results.json"
    answer_ends.main([str(tmp_path / "model"), "--data", str(data), "--ids", str(ids), "-o", str(output)])
    (found,) = json.loads(output.read_text())["rows"]
    assert json.loads(capsys.readouterr().out)["rows"] == [found]
    expected = one_by_one(tmp_path / "model", str(data))
    assert (found["model"], found["examples"]) == ("model", ASKED)
    assert [found[name] for name in FIGURES] == pytest.approx(expected)
    assert 0 < found["one"] < 1


def one_by_one(model: Path, data: str) -> list[float]:
    """Questions of one window."""
    session = open_session(model, DataChoice(task="question-answering"), Runtime())
    encoded = session.encode(session.read(data))
    right, logs = [], []
    for number in range(ASKED):
        inputs, labels = encoded.collate([number])
        answer = session.checkpoint.model(**inputs)
        ends = torch.stack([answer.start_logits[0], answer.end_logits[0]])
        right.append(int((ends.argmax(1) == labels[0, 0]).sum()))
        logs.append([float(end.log_softmax(0)[place]) for end, place in zip(ends, labels[0, 0], strict=True)])
    fractions = [right.count(number) / ASKED for number in range(3)]
    return [*fractions, float(np.corrcoef(np.array(logs).T)[0, 1])]
