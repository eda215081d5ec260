import pytest

from speu_cli.errors import InputError
from speu_cli.evaluation.definitions.lookup import DEFINITIONS
from speu_cli.evaluation.gates import parse
from speu_cli.evaluation.requirements.known import require_possible, understood


@pytest.mark.parametrize(
    ("expression", "bound"),
    [
        ("testing_accuracy>=0.84", 0.84),
        ("testing_accuracy>=84%", 0.84),
        ("testing_accuracy>=84.3 %", 0.843),
        ("testing_accuracy>=0.7%", 0.007),
        ("testing_spearman>=-12%", -0.12),
        ("gap.average<=1.5pt", 1.5),
        ("gap.average<=1.5", 1.5),
        ("membership.privleak>=-5%", -5.0),
        ("membership.auc.high<=60%", 0.6),
        ("attack.relearn.steps>=8", 8.0),
        ("tofu.forget_quality>=0.05", 0.05),
        ("loss.forget>=12.5", 12.5),
    ],
)
def test_bounds_are_in_the_unit_of_the_metric(expression, bound):
    gate = understood(parse(expression))
    assert (gate.bound, gate.unit, gate.expression) == (bound, "", expression)
    assert understood(gate) == gate


@pytest.mark.parametrize("thousandths", range(1, 1000, 7))
def test_per_cent_is_exact(thousandths):
    assert understood(parse(f"testing_accuracy>={thousandths / 10}%")).bound == thousandths / 1000


REFUSED = {
    "testing_acuracy>=0.84": ("no metric 'testing_acuracy'", "did you mean testing_accuracy"),
    "nothing_like_it>=0.84": ("no metric 'nothing_like_it'", "metric-table.md"),
    "testing_accuracy>=84": ("lies in 0 … 1, the bound 84 does not", "0.84 or 84%"),
    "testing_accuracy>=184%": ("the bound 1.84 does not", "0.84 or 84%"),
    "testing_accuracy>-1": ("the bound -1 does not", None),
    "attack.int4.membership.auc<=60": ("lies in 0 … 1", "0.84 or 84%"),
    "tofu.forget.truth_ratio>=50": ("lies in 0 … 1", None),
    "membership.privleak>=-101": ("lies in -100 … inf", None),
    "gap.average<=-1": ("lies in 0 … 200", None),
    "gap.testing_accuracy<=101": ("lies in 0 … 100", None),
    "loss.forget>=-0.1": ("lies in 0 … inf", None),
    "gap.average<=2%": ("gap.average is in points, which '%' does not fit", "0.84 or 0.84pt"),
    "testing_accuracy>=84pt": ("is in fraction, which 'pt' does not fit", "84%"),
    "loss.forget>=30%": ("which '%' does not fit", None),
    "attack.relearn.steps>=8pt": ("is in steps", None),
    "gap.average.high<=2": ("gap.average never has an interval", "leave .high out"),
    "tofu.model_utility.low>=0.5": ("never has an interval", "leave .low out"),
}


@pytest.mark.parametrize("expression", REFUSED)
def test_what_could_say_nothing_is_refused(expression):
    message, hint = REFUSED[expression]
    with pytest.raises(InputError) as error:
        understood(parse(expression, origin="file, requirement 3"))
    assert str(error.value).startswith(f"file, requirement 3: requirement {expression!r}: ")
    assert message in str(error.value)
    assert hint is None or hint in str(error.value.hint)


def gate(name):
    unit = DEFINITIONS[name].unit
    return understood(parse(f"{name}>={min(max(0, unit.low), unit.high)}"))


@pytest.mark.parametrize(
    ("name", "task", "lacking"),
    [
        ("gap.average", "regression", ["--reference"]),
        ("noise.average", "regression", ["--reference", "a second --reference"]),
        ("agreement.kl.test", "classification", ["--reference"]),
        ("membership.privleak", "causal-lm", ["--reference"]),
        ("rouge_l.test", "causal-lm", ["--generate"]),
        ("tofu.facts.rouge_l", "causal-lm", ["--perturbed facts=SOURCE"]),
        ("tofu.forget_quality", "causal-lm", ["--perturbed forget=SOURCE", "--reference"]),
        ("attack.int8.membership.auc", "regression", ["--quantize int8"]),
        ("attack.paraphrase.loss.forget", "regression", ["--paraphrases"]),
        ("attack.relearn.loss.fall", "regression", ["--relearn"]),
        ("attack.relearn.steps", "regression", ["--relearn", "--original"]),
    ],
)
def test_options_that_are_lacking_are_named(name, task, lacking):
    with pytest.raises(InputError, match=f"{name} needs ") as error:
        require_possible([gate(name)], task, [])
    assert str(error.value).endswith(f"{name} needs {' and '.join(lacking)}")
    require_possible([gate(name)], task, lacking)


def test_a_metric_of_another_task():
    with pytest.raises(InputError, match="is of question-answering, but the task is classification") as error:
        require_possible([gate("testing_f1")], "classification", [])
    assert error.value.hint == "did you mean testing_accuracy?"
    require_possible([gate("testing_f1"), gate("membership.auc")], "question-answering", [])
