import pytest

from speu_cli.errors import InputError
from speu_cli.evaluation.requirements.policy import read_policy


def policy(folder, text):
    path = folder / "policy.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_gates_in_their_order(tmp_path):
    path = policy(
        tmp_path,
        """
        [[require]]
        metric = "testing_accuracy"
        of = "low"
        at_least = "84 %"
        why = "promised"

        [[require]]
        metric = "unlearning_accuracy"
        below = 0.95
        at_least = 0.8

        [[require]]
        metric = "gap.average"
        of = "value"
        at_most = 2

        [[require]]
        metric = "loss.forget"
        above = 1e-1
        """,
    )
    gates = read_policy(path)
    assert [(one.metric, one.part, one.op, one.bound, one.why) for one in gates] == [
        ("testing_accuracy", "low", ">=", 0.84, "promised"),
        ("unlearning_accuracy", "value", ">=", 0.8, None),
        ("unlearning_accuracy", "value", "<", 0.95, None),
        ("gap.average", "value", "<=", 2.0, None),
        ("loss.forget", "value", ">", 0.1, None),
    ]
    assert [one.expression for one in gates][:2] == ["testing_accuracy.low>=84 %", "unlearning_accuracy>=0.8"]
    assert gates[1].origin == gates[2].origin == f"{path}, requirement 2"


METRIC = '[[require]]\nmetric = "testing_accuracy"\n'
GOOD = METRIC + "at_least = 0.8\n"
SECOND = "policy.toml, requirement 2: "
BAD = {
    "no TOML": ("require = [", "policy.toml is not TOML"),
    "no UTF-8": (b"\xff\xfe", "policy.toml is not TOML"),
    "too deep": ("a = " + "[" * 100_000, "policy.toml is not TOML"),
    "nothing": ("", "expected at least one [[require]]"),
    "an empty list": ("require = []", "expected at least one [[require]]"),
    "a table": ("[require]\nmetric = 'x'", "expected at least one [[require]]"),
    "a list of texts": ("require = ['testing_accuracy>=0.8']", "expected at least one [[require]]"),
    "another table": (GOOD + "[owner]\nname = 'me'", "no key 'owner', expected one of require"),
    "another key": (GOOD + METRIC + "atleast = 0.8", SECOND + "no key 'atleast'"),
    "no metric": (GOOD + "[[require]]\nat_least = 1", SECOND + "no metric"),
    "no bound": (GOOD + METRIC, SECOND + "no bound, one of at_least, at_most, above, below"),
    "a number as the metric": (GOOD + "[[require]]\nmetric = 3\nat_least = 1", SECOND + "metric is 3"),
    "an empty metric": (GOOD + "[[require]]\nmetric = ' '\nat_least = 1", SECOND + "metric is ' '"),
    "another metric": (
        GOOD + "[[require]]\nmetric = 'testing_acuracy'\nat_least = 1",
        SECOND + "requirement 'testing_acuracy>=1': no metric",
    ),
    "another part": (GOOD + METRIC + "of = 'mean'\nat_least = 1", SECOND + "of is 'mean', expected one of"),
    "true as a bound": (GOOD + METRIC + "at_least = true", SECOND + "at_least is True, expected a finite"),
    "nan as a bound": (GOOD + METRIC + "at_least = nan", SECOND + "at_least is nan, expected a finite"),
    "an infinite bound": (GOOD + METRIC + "at_least = -inf", SECOND + "at_least is -inf, expected a finite"),
    "a date as a bound": (GOOD + METRIC + "at_least = 2026-01-01", SECOND + "at_least is datetime"),
    "a list as a bound": (GOOD + METRIC + "at_least = [1]", SECOND + "at_least is [1], expected a finite"),
    "a huge bound": (GOOD + METRIC + f"at_least = 1{'0' * 400}", "expected a finite number"),
    "words as a bound": (GOOD + METRIC + "at_least = 'much'", "expected METRIC OP NUMBER"),
    "an operator in the bound": (GOOD + METRIC + "at_least = '> 3'", "expected METRIC OP NUMBER"),
    "a unit that does not fit": (GOOD + METRIC + "at_least = '84 pt'", "which 'pt' does not fit"),
    "a bound out of range": (GOOD + METRIC + "at_least = 84", SECOND + "requirement 'testing_accuracy>=84'"),
    "a list as the reason": (GOOD + METRIC + "at_least = 1\nwhy = ['x']", SECOND + "why is ['x']"),
    "a bound of no interval": (
        GOOD + "[[require]]\nmetric = 'gap.average'\nof = 'high'\nat_most = 1",
        "gap.average never has an interval",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_is_named_with_the_file_and_the_entry(tmp_path, case):
    text, message = BAD[case]
    with pytest.raises(InputError) as error:
        read_policy(policy(tmp_path, text))
    assert str(error.value).startswith(str(tmp_path / "policy.toml"))
    assert message in str(error.value)


def test_a_key_that_is_nearly_right(tmp_path):
    with pytest.raises(InputError) as error:
        read_policy(policy(tmp_path, METRIC + "atleast = 0.8"))
    assert error.value.hint == "did you mean at_least?"


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match=r"missing\.toml: no such file or directory"):
        read_policy(tmp_path / "missing.toml")
    with pytest.raises(InputError, match="is a directory"):
        read_policy(tmp_path)
