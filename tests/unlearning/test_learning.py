"""Training towards an objective: what is read, what moves, and when it ends."""

from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from laws import Case, make_case
from oracles.training import masked_adamw
from speu_cli.errors import UnsafeStepError
from speu_cli.structures.mask import Mask
from speu_cli.unlearning.learning import Course, Sets, learn
from speu_cli.unlearning.objectives.ascent import GradientAscent
from speu_cli.unlearning.objectives.base import Moment, Objective, Set
from speu_cli.unlearning.objectives.difference import GradientDifference
from speu_cli.unlearning.objectives.direct_preference import DirectPreference
from speu_cli.unlearning.objectives.fine_tuning import FineTuning
from speu_cli.unlearning.objectives.negative_preference import NegativePreference
from speu_cli.unlearning.objectives.sparsity import SparsityAware
from speu_cli.unlearning.slices import pieces_of
from speu_cli.unlearning.training import TrainingSettings

FORGET, COUNT = 5, 17
SETTINGS = TrainingSettings(epochs=2, learning_rate=1e-2, batch_size=3, weight_decay=0.1)
ALL = pytest.mark.parametrize(
    "objective",
    [
        FineTuning(),
        SparsityAware(),
        GradientAscent(),
        GradientDifference(),
        GradientDifference(epoch_over="all"),
        NegativePreference(),
        DirectPreference(retain_weight=1.0),
    ],
    ids=lambda objective: type(objective).__name__,
)


def likelihoods(case: Case, encoded: Any) -> Tensor:
    inputs, labels = encoded.collate(range(len(encoded)))
    with torch.no_grad():
        return -case.task.losses(case.model(**inputs).logits, labels)


def sets_of(case: Case) -> Sets:
    """The first examples are to be forgotten; their other answers are other classes."""
    forget, remaining = case.encoded.select(range(FORGET)), case.encoded.select(range(FORGET, COUNT))
    answers = case.encoded.select(range(FORGET))
    answers.labels.copy_(1 - answers.labels)
    return Sets(
        case.task,
        {"forget": forget, "remaining": remaining, "answers": answers},
        {"forget": likelihoods(case, forget), "answers": likelihoods(case, answers)},
    )


def half_mask(case: Case) -> Mask:
    return Mask(case.layout, {group.key: torch.arange(group.count) % 2 == 0 for group in case.layout})


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def without_dropout(case: Case) -> Case:
    for module in case.model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return case


@pytest.mark.parametrize("masked", [False, True], ids=["all", "slices"])
@ALL
def test_each_objective_trains_what_it_may(objective: Objective, masked: bool, tmp_path: Path) -> None:
    case = make_case(tmp_path, dtype=torch.float32)
    before, mask = weights(case.model), half_mask(case) if masked else None
    course = learn(case.model, sets_of(case), objective, SETTINGS, mask=mask)
    sizes = {"remaining": COUNT - FORGET, "forget": FORGET}
    passed = sum(sizes[name] for name in objective.over)
    assert (course.steps, course.stopped) == (2 * -(-passed // 3), False)
    assert not case.model.training
    assert not any(one.requires_grad or one.grad is not None for one in case.model.parameters())
    changed = 0
    inside = pieces_of(half_mask(case), case.model)
    for name, parameter in case.model.named_parameters():
        differs = parameter != before[name]
        changed += int(differs.sum())
        if masked:
            outside = torch.ones_like(differs)
            if name in inside:
                inside[name].put(outside, torch.zeros_like(inside[name].take(outside)))
            assert not (differs & outside).any()
    assert 0 < changed <= course.trained
    total = sum(parameter.numel() for parameter in case.model.parameters())
    assert course.trained < total / 2 if masked else course.trained == total


@ALL
def test_the_same_seed_gives_the_same_weights(objective: Objective, tmp_path: Path) -> None:
    runs = []
    for seed in (1, 1, 2):
        case = make_case(tmp_path, dtype=torch.float32)
        settings = TrainingSettings(1, 1e-2, 2, 0.0, seed)
        learn(case.model, sets_of(case), objective, settings, mask=half_mask(case))
        runs.append(weights(case.model))
    assert all(torch.equal(runs[0][name], runs[1][name]) for name in runs[0])
    assert any(not torch.equal(runs[0][name], runs[2][name]) for name in runs[0])


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_it_is_adamw_with_everything_outside_the_mask_held_still(weight: float, tmp_path: Path) -> None:
    """Through the Trainer, its clipping and its choice of what decays included."""
    case = without_dropout(make_case(tmp_path))
    sets, mask, expected = sets_of(case), half_mask(case), deepcopy(case.model)
    encoded = {**sets.encoded, "remaining": sets.encoded["remaining"].select(range(FORGET))}
    flags = {}
    for name, piece in pieces_of(mask, expected).items():
        flags[name] = torch.zeros_like(expected.get_parameter(name), dtype=torch.bool)
        piece.put(flags[name], torch.ones_like(piece.take(flags[name])))

    def difference() -> Tensor:
        forget, remaining = (
            case.task.losses(expected(**inputs).logits, labels).mean()
            for inputs, labels in (encoded[name].collate(range(FORGET)) for name in ("forget", "remaining"))
        )
        return weight * remaining - forget

    masked_adamw(
        expected,
        flags,
        difference,
        steps=3,
        rate=1e-3,
        decay=lambda name: 0.0 if "bias" in name else 0.1,
        clip=1.0,
    )
    settings = TrainingSettings(3, 1e-3, FORGET, 0.1, schedule="constant")
    learn(case.model, replace(sets, encoded=encoded), GradientDifference(weight), settings, mask=mask)
    for name, parameter in case.model.named_parameters():
        torch.testing.assert_close(parameter, expected.get_parameter(name), rtol=1e-10, atol=1e-12)


def test_a_pass_over_all_examples_meets_each_once_in_its_own_set(tmp_path: Path) -> None:
    case = without_dropout(make_case(tmp_path))
    sets = sets_of(case)
    expected = {name: -likelihoods(case, sets.encoded[name]) for name in sets.encoded if name != "answers"}
    watched = Watched(GradientDifference(epoch_over="all"))
    learn(case.model, sets, watched, TrainingSettings(1, 1e-12, 4, 0.0))
    assert sum(len(moment.sets) for moment in watched.moments) > len(watched.moments)
    for name, losses in expected.items():
        met = [moment.sets[name].losses.detach() for moment in watched.moments if name in moment.sets]
        found = torch.cat(met).sort().values
        torch.testing.assert_close(found, losses.sort().values, rtol=1e-9, atol=1e-9)


def test_a_squared_error_can_go_up_too(tmp_path: Path) -> None:
    case = without_dropout(make_case(tmp_path, outputs=1))
    forget = case.encoded.select(range(FORGET))
    before = -likelihoods(case, forget).mean()
    learn(case.model, Sets(case.task, {"forget": forget}, {}), GradientAscent(), SETTINGS)
    assert -likelihoods(case, forget).mean() > before


class Watched:
    """An objective that remembers the moments that it is asked about."""

    def __init__(self, objective: Objective) -> None:
        self._objective = objective
        self.over, self.with_reference, self.dropout = (
            objective.over,
            objective.with_reference,
            objective.dropout,
        )
        self.moments: list[Moment] = []

    @property
    def reads(self) -> tuple[Set, ...]:
        return self._objective.reads

    def loss(self, moment: Moment) -> Tensor:
        self.moments.append(moment)
        return self._objective.loss(moment)


def test_the_first_loss_of_npo_is_exactly_that_of_the_reference(tmp_path: Path) -> None:
    """With a model that has dropout."""
    case = make_case(tmp_path)
    watched = Watched(NegativePreference(0.1))
    learn(case.model, sets_of(case), watched, TrainingSettings(1, 1e-3, FORGET))
    gain = watched.moments[0].sets["forget"].gain()
    torch.testing.assert_close(gain, torch.zeros_like(gain), rtol=0, atol=1e-12)


def test_every_forget_batch_is_paired_with_as_many_remaining_examples(tmp_path: Path) -> None:
    case = make_case(tmp_path)
    watched = Watched(GradientDifference())
    learn(case.model, sets_of(case), watched, TrainingSettings(6, 1e-9, 2))
    sizes = [[len(one.losses) for one in moment.sets.values()] for moment in watched.moments]
    assert sorted(sizes) == sorted([[2, 2], [2, 2], [1, 1]] * 6)
    assert [moment.done for moment in watched.moments] == [step / 18 for step in range(18)]
    drawn = torch.cat([moment.sets["remaining"].losses.detach() for moment in watched.moments])
    assert len(drawn) == 30


def test_remaining_examples_are_drawn_once_before_any_comes_again(tmp_path: Path) -> None:
    case = without_dropout(make_case(tmp_path))
    sets = sets_of(case)
    expected = -likelihoods(case, sets.encoded["remaining"])
    watched = Watched(GradientDifference())
    learn(case.model, sets, watched, TrainingSettings(3, 1e-12, FORGET))
    drawn = torch.cat([moment.sets["remaining"].losses.detach() for moment in watched.moments])[:12]
    torch.testing.assert_close(drawn.sort().values, expected.sort().values, rtol=1e-6, atol=1e-6)


def test_it_ends_when_it_is_told_to(tmp_path: Path) -> None:
    case = make_case(tmp_path)  # 17 examples
    asked: list[bool] = []

    def stop() -> bool:
        asked.append(case.model.training)
        return len(asked) == 2

    sets = sets_of(case)
    encoded = {"forget": case.encoded.select(range(16))}
    course = learn(
        case.model,
        replace(sets, encoded=encoded, references={}),
        GradientAscent(),
        TrainingSettings(5, 1e-4, 2),
        stop=stop,
    )
    assert course == Course(steps=4, trained=course.trained, stopped=True)  # of eight steps every second
    assert asked == [False, False]


@pytest.mark.parametrize("rate", [1e30, 1e200])
def test_a_training_that_diverges_is_refused(rate: float, tmp_path: Path) -> None:
    case = make_case(tmp_path, dtype=torch.float32)
    with pytest.raises(UnsafeStepError, match="diverged") as caught:
        learn(case.model, sets_of(case), GradientAscent(), TrainingSettings(5, rate, 2))
    assert "learning rate" in str(caught.value.hint)
    assert not case.model.training
