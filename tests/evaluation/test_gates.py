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
    ],
)
def test_parse(expression, gate):
    assert parse(expression) == Gate(expression, *gate)


names = st.from_regex(r"[a-zA-Z][a-zA-Z0-9_]{0,8}(\.[a-zA-Z0-9_]{1,5}){0,2}", fullmatch=True)


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
        "testing_accuracy>=84%",
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
    "expression", ["membership.member_fraction<=78", "testing_accuracy>=84", "testing_accuracy>-1"]
)
def test_a_percentage_for_a_fraction_fails_instead_of_saying_nothing(expression):
    (result,) = check([parse(expression)], METRICS)
    assert not result.passed
    assert "outside 0 to 1" in result.reason


def test_losses_may_be_bounded_by_more_than_one():
    (result,) = check([parse("loss.forget<=2")], METRICS)
    assert result.passed


def test_results_keep_the_order_of_the_gates():
    expressions = ["loss.forget>1", "testing_accuracy>1", "nothing<1"]
    results = check([parse(expression) for expression in expressions], METRICS)
    assert [result.expression for result in results] == expressions
    assert [result.passed for result in results] == [True, False, False]
    assert check([], METRICS) == []
