import math
import operator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speu_cli.errors import InputError
from speu_cli.evaluation.gates import Gate, check, parse
from speu_cli.evaluation.metric import Metric

METRICS: dict[str, Metric | float] = {
    "testing_accuracy": Metric(0.84, 0.8, 0.88, 100),
    "membership.member_fraction": Metric(0.75, 0.7, 0.8, 128),
    "loss.forget": Metric(1.5, 1.0, 2.0, 128),
    "testing_spearman": Metric(math.nan, math.nan, math.nan, 1),
    "loss.test": Metric(math.inf, math.nan, math.nan, 1),
    "loss.remaining": Metric(0.5, math.nan, math.nan, 1),
    "gap.testing_accuracy": 1.25,
    "gap.average": 0.65,
}


@pytest.mark.parametrize(
    ("expression", "gate"),
    [
        ("testing_accuracy>=0.84", ("testing_accuracy", ">=", 0.84)),
        (" membership.member_fraction <= .8 ", ("membership.member_fraction", "<=", 0.8)),
        ("loss.forget>1e-3", ("loss.forget", ">", 0.001)),
        ("gap.average < +2.", ("gap.average", "<", 2.0)),
        ("testing_spearman>=-0.5", ("testing_spearman", ">=", -0.5)),
        ("x>0", ("x", ">", 0.0)),
        ("testing_accuracy>=84%", ("testing_accuracy", ">=", 84.0, "value", "%")),
        ("testing_accuracy>= 84 %", ("testing_accuracy", ">=", 84.0, "value", "%")),
        ("gap.average<=1.5pt", ("gap.average", "<=", 1.5, "value", "pt")),
        ("membership.auc.high<=0.6", ("membership.auc", "<=", 0.6, "high")),
        ("testing_accuracy.low>80%", ("testing_accuracy", ">", 80.0, "low", "%")),
        ("a.low.high>1", ("a.low", ">", 1.0, "high")),
        ("a.lower>1", ("a.lower", ">", 1.0)),
        ("low>1", ("low", ">", 1.0)),
    ],
)
def test_parse(expression, gate):
    assert parse(expression) == Gate(expression, *gate)


def test_what_a_gate_is_for_and_where_it_stands_are_kept():
    gate = parse("x>0", why="because", origin="file, requirement 2")
    assert (gate.why, gate.origin) == ("because", "file, requirement 2")
    assert check([gate], {"x": 1.0})[0].why == check([gate], {})[0].why == "because"
    with pytest.raises(InputError, match="file, requirement 2: requirement 'x'"):
        parse("x", origin="file, requirement 2")


names = st.from_regex(r"[a-zA-Z][a-zA-Z0-9_]{0,8}(\.[a-zA-Z0-9_]{1,5}){0,2}", fullmatch=True).filter(
    lambda name: not name.endswith((".low", ".high"))
)


@given(names, st.floats())
def test_every_finite_number_and_no_other_is_a_bound(name, bound):
    expression = f"{name}<={bound!r}"
    if math.isfinite(bound):
        assert parse(expression) == Gate(expression, name, "<=", bound)
    else:
        with pytest.raises(InputError):
            parse(expression)


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "testing_accuracy",
        "testing_accuracy>=",
        ">=0.84",
        "0.84<=testing_accuracy",
        "testing_accuracy=0.84",
        "testing_accuracy==0.84",
        "testing_accuracy=>0.84",
        "testing_accuracy!=0.84",
        "testing_accuracy>=84%%",
        "testing_accuracy>=84 points",
        "testing_accuracy>=84PT",
        "testing_accuracy>=%",
        "testing_accuracy.>=1",
        "testing_accuracy>=0,84",
        "testing_accuracy>=0.84 loss.test<1",
        "testing_accuracy>=0.84>=0.8",
        "testing_accuracy>=nan",
        "testing_accuracy>=inf",
        "testing_accuracy>=1e999",
        "testing_accuracy>=1_0",
        "testing_accuracy>=0x1",
        "testing_accuracy>=\u0660",
        "testing accuracy>=0.84",
        "loss..test<1",
        "loss.<1",
        ".loss<1",
        "loss-test<1",
    ],
)
def test_what_is_malformed_is_an_input_error_that_gives_the_grammar(expression):
    with pytest.raises(InputError) as error:
        parse(expression)
    assert repr(expression) in str(error.value)
    assert error.value.hint is not None
    assert "METRIC OP NUMBER" in error.value.hint


@pytest.mark.parametrize(
    ("op", "compare"), [(">=", operator.ge), ("<=", operator.le), (">", operator.gt), ("<", operator.lt)]
)
@pytest.mark.parametrize("bound", [0.83, 0.84, 0.85])
def test_the_value_is_compared(op, compare, bound):
    expression = f"testing_accuracy{op}{bound}"
    (result,) = check([parse(expression)], METRICS)
    assert result.passed is compare(0.84, bound)
    assert (result.expression, result.value) == (expression, 0.84)
    assert result.reason == f"0.84 is {'' if result.passed else 'not '}{op} {bound}"


def test_plain_numbers_are_metrics_too():
    passed, failed, points = check(
        [parse("gap.average<=0.65"), parse("gap.average<0.65"), parse("gap.testing_accuracy<=3")], METRICS
    )
    assert passed.passed
    assert not failed.passed
    assert points.passed


@pytest.mark.parametrize("name", ["testing_acuracy", "testing_spearman", "loss.test", "gap"])
@pytest.mark.parametrize("op", [">=", "<=", ">", "<"])
def test_a_gate_without_a_computed_metric_fails(name, op):
    (result,) = check([parse(f"{name}{op}0")], METRICS)
    assert not result.passed
    assert result.value is None
    assert name in result.reason
    assert "computed" in result.reason


@pytest.mark.parametrize(
    ("expression", "value", "passed"),
    [
        ("testing_accuracy.low>=0.8", 0.8, True),
        ("testing_accuracy.low>0.8", 0.8, False),
        ("testing_accuracy.high<=0.85", 0.88, False),
        ("membership.member_fraction.high<0.9", 0.8, True),
    ],
)
def test_the_bounds_of_an_interval_are_compared(expression, value, passed):
    (result,) = check([parse(expression)], METRICS)
    assert (result.value, result.passed) == (value, passed)


@pytest.mark.parametrize("expression", ["loss.remaining.high<=1", "gap.average.low>=0"])
def test_without_an_interval_nothing_is_met(expression):
    (result,) = check([parse(expression)], METRICS)
    assert (result.passed, result.value) == (False, None)
    assert "has no interval here" in result.reason


def test_losses_may_be_bounded_by_more_than_one():
    (result,) = check([parse("loss.forget<=2")], METRICS)
    assert result.passed


def test_results_keep_the_order_of_the_gates():
    expressions = ["loss.forget>1", "testing_accuracy>1", "nothing<1"]
    results = check([parse(expression) for expression in expressions], METRICS)
    assert [result.expression for result in results] == expressions
    assert [result.passed for result in results] == [True, False, False]
    assert check([], METRICS) == []
