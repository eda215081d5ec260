import math

from speu_cli.evaluation.metric import Metric
from speu_cli.evaluation.table import table

MODEL = {
    "testing_accuracy": Metric(0.8578, 0.8333, 0.8791, 872),
    "testing_spearman": Metric(-0.0001, -0.12, 0.1, 50),
    "loss.forget": Metric(0.31949, 0.2, 0.44, 128),
    "loss.test": Metric(0.5, math.nan, math.nan, 1),
    "threshold_f1.test": Metric(-2.5, math.nan, math.nan, 9),
    "membership.auc": Metric(math.nan, math.nan, math.nan, 0),
}


def test_one_model_alone():
    result = table(MODEL)
    assert result.header == ["metric", "model"]
    assert result.rows == [
        ["testing_accuracy", "85.8 % [83.3, 87.9]"],
        ["testing_spearman", "0.0 % [-12.0, 10.0]"],
        ["loss.forget", "0.319 [0.200, 0.440]"],
        ["loss.test", "0.500"],
        ["threshold_f1.test", "-2.500"],
        ["membership.auc", "not computed"],
    ]


def test_beside_the_original_and_the_reference():
    original = {"testing_accuracy": Metric(0.9, 0.88, 0.92, 872)}
    gaps = {"gap.testing_accuracy": 0.123, "gap.average": math.nan}
    result = table(MODEL, original=original, reference=MODEL, gaps=gaps)
    assert result.header == ["metric", "original", "model", "reference", "gap"]
    assert result.rows[0] == [
        "testing_accuracy",
        "90.0 % [88.0, 92.0]",
        "85.8 % [83.3, 87.9]",
        "85.8 % [83.3, 87.9]",
        "0.12",
    ]
    assert result.rows[1][1] == "not computed"
    assert result.rows[1][-1] == ""
    assert result.rows[-1] == ["gap.average", "", "", "", "not computed"]
    assert {len(row) for row in result.rows} == {len(result.header)}
