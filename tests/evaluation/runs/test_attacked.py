"""Attacks that were made with other settings are left out, and nothing else is."""

from typing import Any

import pytest
from evaluated import evaluation, run

from speu_cli.errors import ArtifactError
from speu_cli.evaluation.runs.attacked import made_differently, require_compared, without
from speu_cli.evaluation.runs.lineup import line_up

RELEARNT = "attack.relearn.loss.forget"


def attacked(attack: str, **settings: Any) -> dict[str, Any]:
    """An evaluation whose attack had other settings."""
    found = evaluation("3")
    found["attacks"][attack] |= settings
    return found


def unattacked() -> dict[str, Any]:
    return {**evaluation("4"), "attacks": None}


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"steps": 9}, "steps 5 in a, d; steps 9 in b"),
        ({"learning_rate": 1e-3}, "learning rate 5e-05 in a, d; learning rate 0.001 in b"),
        ({"shown": 3, "steps": 9}, "steps 5, shown 4 in a, d; steps 9, shown 3 in b"),
        ({"rows": "d" * 64}, f"rows sha256 {'b' * 12}… in a, d; rows sha256 {'d' * 12}… in b"),
        ({"rows": "\x1b\u202e"}, f"rows sha256 {'b' * 12}… in a, d; rows sha256 \\x1b\\u202e… in b"),
    ],
    ids=str,
)
def test_who_attacked_how_is_said_as_far_as_it_differs(settings: dict[str, Any], told: str) -> None:
    runs = [run("a"), run("b", attacked("relearned", **settings)), run("c", unattacked()), run("d")]
    expected = f"attack.relearn was made with other settings, so its figures are left out: {told}"
    assert made_differently(runs) == {"relearn": expected}


def test_the_same_settings_and_no_attack_go_together() -> None:
    runs = [run("a"), run("b", evaluation("3")), run("c", unattacked())]
    assert made_differently(runs) == {}
    assert RELEARNT in line_up(runs).models[-2].metrics


def test_a_paraphrase_in_other_words_is_another_attack() -> None:
    found = made_differently([run("a"), run("b", attacked("paraphrased", rows="d" * 64))])
    assert list(found) == ["paraphrase"]


def test_only_figures_of_the_attack_are_taken_away_and_from_all_models() -> None:
    whole = run("a", evaluation(references=2))
    rest = without(whole, ["relearn"])
    for before, after in ((whole.model, rest.model), (whole.original, rest.original)):
        assert before is not None
        assert after is not None
        gone = before.metrics.keys() - after.metrics.keys()
        assert gone == {name for name in before.metrics if name.startswith("attack.relearn.")} != set()
    assert rest.reference is not None
    assert not [name for one in rest.reference.each for name in one if name.startswith("attack.relearn.")]
    assert rest.reference.each[0].keys() >= {"attack.int4.loss.forget", "loss.forget"}


def test_other_steps_do_not_make_another_original_model() -> None:
    other = attacked("relearned", steps=9)
    for side in ("original", "reference"):
        other[side][RELEARNT]["value"] += 1
    lineup = line_up([run("a"), run("b", other)])
    assert [model.name for model in lineup.models] == ["original", "reference", "a", "b"]
    assert not any(RELEARNT in model.metrics for model in lineup.models)
    assert lineup.notes == list(lineup.left_out.values())


def test_names_of_what_is_left_out_are_refused_with_the_reason() -> None:
    left_out = made_differently([run("a"), run("b", attacked("relearned", steps=9))])
    require_compared(left_out, ["loss.forget", "attack.int4.loss.forget"])
    with pytest.raises(ArtifactError, match=r"cannot be compared: .* steps 5 in a; steps 9 in b") as refused:
        require_compared(left_out, ["loss.forget", RELEARNT])
    assert refused.value.hint
