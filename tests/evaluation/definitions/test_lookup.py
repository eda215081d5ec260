import subprocess
import sys
from pathlib import Path

import pytest

from speu_cli.evaluation.definitions.definition import FRACTION, SCALELESS, Definition
from speu_cli.evaluation.definitions.families import FAMILIES
from speu_cli.evaluation.definitions.lookup import DEFINITIONS, nearest, unit_of
from speu_cli.evaluation.definitions.needs import needs
from speu_cli.evaluation.tofu.measure import SETS

ROOT = Path(__file__).parents[3]


def test_a_pattern_stands_for_all_combinations():
    made = Definition("{a,b}.x.{c,d}", "", "none", FRACTION)
    assert made.names == ["a.x.c", "a.x.d", "b.x.c", "b.x.d"]
    assert Definition("alone", "", "none", FRACTION).names == ["alone"]


def test_no_name_is_defined_twice():
    names = [name for family in FAMILIES.values() for one in family for name in one.names]
    assert len(names) == len(set(names)) == len(DEFINITIONS)


def test_no_name_ends_as_a_bound_does():
    assert not [name for name in DEFINITIONS if name.endswith((".low", ".high"))]


def test_what_is_said_is_one_line():
    for one in DEFINITIONS.values():
        assert one.meaning == " ".join(one.meaning.split())
        assert one.interval


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("testing_acuracy", "testing_accuracy"),
        ("membership.aux", "membership.auc"),
        ("auc", "membership.auc"),
        ("gap", "gap.unlearning_accuracy"),
    ],
)
def test_the_nearest_names(name, near):
    assert nearest(name)[0] == near
    assert len(nearest(name)) <= 3


def test_nothing_is_near_to_everything():
    assert nearest("xyzzy") == []
    assert nearest("testing_accuracy", ["testing_f1"]) == ["testing_f1"]


def test_a_metric_that_is_not_known_has_no_scale():
    assert unit_of("of.another.kind") is SCALELESS


def test_sets_of_questions_are_those_of_tofu():
    for name in SETS:
        assert needs(f"tofu.{name}.probability") == [f"--perturbed {name}=SOURCE"]


def test_the_table_of_all_metrics_is_up_to_date():
    generator = ROOT / "docs" / "generate_metrics.py"
    process = subprocess.run(
        [sys.executable, str(generator), "--check"], capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr
