"""Out of memory in the middle of a batch, and the size of batches by trial: the sums stay exact."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from laws import PARTS, Case, Notes, largest_difference, make_case
from oracles import statistics as oracle
from speu_cli.statistics import trial
from speu_cli.statistics.collector import Collected, collect
from speu_cli.statistics.factors import Factor, Outer, Summed, examples_in
from speu_cli.statistics.running import RunningSums
from speu_cli.statistics.steps import Step
from speu_cli.statistics.sums import Statistics
from speu_cli.statistics.wanted import Wanted, wanted_parameters
from tiny import FAMILIES

EXACT = 1e-10
WHOLE = 10_000

ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    MemoryError(),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
]


def collected(
    case: Case,
    *,
    batch_tokens: int | None = WHOLE,
    progress: Notes | None = None,
    sampled: torch.Tensor | None = None,
) -> Collected:
    names = wanted_parameters(case.model, case.layout, "all")
    wanted = Wanted(names) if sampled is None else Wanted(names, sampled=sampled, most_units=4)
    return collect(
        case.model,
        case.layout,
        case.task,
        case.encoded,
        batch_tokens=batch_tokens,
        wanted=wanted,
        progress=progress,
    )


def expected(case: Case) -> Statistics:
    names = dict(case.model.named_parameters())
    return oracle.statistics(case.model, case.layout, case.task, case.encoded, names)


def tie_the_classifier(case: Case) -> None:
    words = case.model.get_input_embeddings().weight
    decoder = nn.Linear(16, len(words), bias=False).requires_grad_(False).eval()
    decoder.weight = words
    case.model.set_submodule("classifier", decoder)


class Gain(nn.Module):
    """Of a type that no rule knows."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.linspace(0.1, 1.0, 2, dtype=torch.float64), requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, :2] * self.gain


def leave_the_classifier_to_autograd(case: Case) -> None:
    case.model.set_submodule("classifier", Gain().eval())


class Memory:
    """Suffices for batches of so many tokens; of a larger one it fails in the middle of the parameters."""

    def __init__(self, patch: pytest.MonkeyPatch, error: BaseException, tokens: int, family: str) -> None:
        self.added: list[tuple[str, int]] = []
        self.sizes: list[int] = []
        self.failures = 0
        add = RunningSums.add_parameter

        def add_if_it_fits(sums: RunningSums, name: str, factor: Factor) -> None:
            if name == MIDDLE[family]:
                assert isinstance(factor, Outer)
                if len(factor.inputs) > tokens:
                    self.failures += 1
                    raise error
                self.sizes.append(len(factor.inputs))
            self.added.append((name, examples_in(factor)))
            add(sums, name, factor)

        patch.setattr(RunningSums, "add_parameter", add_if_it_fits)


# Of the last layer: what lies above it is added before, all else is not.
MIDDLE = {
    "bert": "bert.encoder.layer.1.attention.self.query.weight",
    "roberta": "roberta.encoder.layer.1.attention.self.query.weight",
    "distilbert": "distilbert.transformer.layer.1.attention.q_lin.weight",
    "llama": "model.layers.1.self_attn.q_proj.weight",
}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("error", ERRORS, ids=["accelerator", "machine", "allocator"])
def test_memory_that_runs_out_in_the_middle_of_a_batch_counts_nothing_twice(
    error: BaseException, family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case, told = make_case(tmp_path, family), Notes()
    memory = Memory(monkeypatch, error, 40, family)
    found = collected(case, progress=told)
    assert memory.failures >= 2  # all 17 were too many, and so was half of them
    assert {name for name, examples in memory.added if examples == 17}, "nothing was added before"
    assert sum(examples for name, examples in memory.added if name == MIDDLE[family]) == 17
    assert largest_difference(found.statistics, expected(case)) < EXACT
    assert len(told.notes) == memory.failures
    assert told.notes[-1] == f"out of memory: batches of {found.batch_tokens} tokens from here on"


def test_later_batches_are_no_larger_than_what_fitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case, told = make_case(tmp_path, count=40), Notes()
    memory = Memory(monkeypatch, ERRORS[0], 120, "bert")
    found = collected(case, batch_tokens=200, progress=told)
    assert memory.failures == len(told.notes) == 1
    halves, later = memory.sizes[:2], memory.sizes[2:]
    assert max(later) <= found.batch_tokens <= max(halves)
    assert largest_difference(found.statistics, expected(case)) < EXACT


@pytest.mark.parametrize("sampled", [False, True])
def test_memory_that_runs_out_between_the_mask_gradients_counts_nothing_twice(
    sampled: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = make_case(tmp_path)
    keys = case.encoded.keys[::2] if sampled else None
    whole = collected(case, sampled=keys).statistics
    calls, add = [0], RunningSums.add_mask_gradients

    def add_all_but_the_third(sums: RunningSums, *args: object) -> None:
        calls[0] += 1
        if calls[0] == 3:
            raise ERRORS[0]
        add(sums, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(RunningSums, "add_mask_gradients", add_all_but_the_third)
    found = collected(case, sampled=keys).statistics
    # Two of the four groups were there of all, two halves of two groups came after.
    assert calls[0] == 2 + 1 + 2 * 2
    assert largest_difference(found, whole) < EXACT
    assert torch.equal(found.sampled, whole.sampled)
    for name, rows in whole.mask_rows.items():
        assert torch.allclose(found.mask_rows[name], rows, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("moment", ["losses", "batch_done"])
def test_memory_that_runs_out_before_or_after_the_sums(
    moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the forward pass, and in the product of gathered mask gradients, when autograd's part is in too."""
    case, told = make_case(tmp_path), Notes()
    leave_the_classifier_to_autograd(case)
    owner: type = Step if moment == "losses" else RunningSums
    real, raised = getattr(owner, moment), []

    def once(self: object, *args: object) -> object:
        large = len(self.ids) > 2 if isinstance(self, Step) else True
        if large and not raised:
            raised.append(moment)
            raise ERRORS[0]
        return real(self, *args)

    monkeypatch.setattr(owner, moment, once)
    found = collected(case, progress=told)
    assert len(raised) == len([note for note in told.notes if note.startswith("out of memory")]) == 1
    assert found.statistics.count == 17
    assert largest_difference(found.statistics, expected(case)) < EXACT


def test_other_faults_are_not_taken_for_a_lack_of_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case, told = make_case(tmp_path), Notes()
    memory = Memory(monkeypatch, RuntimeError("mat1 and mat2 do not fit"), 40, "bert")
    with pytest.raises(RuntimeError, match="do not fit"):
        collected(case, progress=told)
    assert memory.failures == 1
    assert not told.notes


def test_an_example_that_does_not_fit_alone_ends_the_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = make_case(tmp_path)
    Memory(monkeypatch, ERRORS[0], 0, "bert")
    with pytest.raises(torch.OutOfMemoryError):
        collected(case)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in case.model.modules())


@pytest.mark.parametrize("change", [tie_the_classifier, leave_the_classifier_to_autograd])
def test_a_batch_of_which_a_part_cannot_be_told_from_the_rest_ends_the_pass(
    change: Callable[[Case], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """These are added example by example: halves would count some of them again."""
    case, told = make_case(tmp_path), Notes()
    change(case)
    calls, of_summed, add = [0], Summed.of_example, RunningSums.add_parameter

    def second_fails(*_: object) -> None:
        calls[0] += 1
        if calls[0] == 4:  # two examples before the pass, then one in it
            raise ERRORS[0]

    def summed(factor: Summed, k: int) -> torch.Tensor:
        second_fails()
        return of_summed(factor, k)

    def added(sums: RunningSums, name: str, factor: Factor) -> None:
        if name == "classifier.gain":
            calls[0] = max(calls[0], 2)
            second_fails()
        add(sums, name, factor)

    monkeypatch.setattr(Summed, "of_example", summed)
    monkeypatch.setattr(RunningSums, "add_parameter", added)
    with pytest.raises(torch.OutOfMemoryError):
        collected(case, progress=told)
    assert calls[0] == 4
    assert not any(note.startswith("out of memory") for note in told.notes)


def found_by_trial(
    case: Case, monkeypatch: pytest.MonkeyPatch, progress: Notes, sampled: torch.Tensor | None = None
) -> Collected:
    """From batches of an example or two on, so that there are several trials; the largest is taken."""
    monkeypatch.setattr(trial, "FIRST", 16)
    monkeypatch.setattr(trial, "WORTH", 0.0)
    return collected(case, batch_tokens=None, progress=progress, sampled=sampled)


@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_of_a_trial_is_left_in_the_sums(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case, told = make_case(tmp_path, family), Notes()
    keys = case.encoded.keys[::3]
    found = found_by_trial(case, monkeypatch, told, keys)
    assert found.batch_tokens >= 64
    assert told.notes == [f"batches of {found.batch_tokens} tokens"]
    as_if_told = collected(case, batch_tokens=found.batch_tokens, sampled=keys)
    for part in (*PARTS, "mask_rows"):
        mine, theirs = getattr(found.statistics, part), getattr(as_if_told.statistics, part)
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    assert found.statistics.count == 17
    assert torch.equal(found.losses, as_if_told.losses)
    assert torch.equal(found.statistics.sampled, as_if_told.statistics.sampled)


def test_a_trial_that_does_not_fit_settles_the_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case, told = make_case(tmp_path), Notes()
    memory = Memory(monkeypatch, ERRORS[0], 70, "bert")
    found = found_by_trial(case, monkeypatch, told)
    assert memory.failures == 1
    largest = 2 * max(case.encoded.lengths)  # the longest alone, two of them; four do not fit
    assert largest <= 70 < 2 * largest
    assert found.batch_tokens == largest
    assert told.notes == [f"batches of {largest} tokens"]
    assert largest_difference(found.statistics, expected(case)) < EXACT


def test_other_faults_of_a_trial_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = make_case(tmp_path)
    Memory(monkeypatch, RuntimeError("mat1 and mat2 do not fit"), 40, "bert")
    with pytest.raises(RuntimeError, match="do not fit"):
        found_by_trial(case, monkeypatch, Notes())


def test_no_examples_need_no_trial(tmp_path: Path) -> None:
    case = make_case(tmp_path)
    empty = Case(case.model, case.layout, case.task, case.encoded.select([]))
    found = collected(empty, batch_tokens=None)
    assert found.statistics.count == 0
    assert not any(fisher.any() for fisher in found.statistics.fisher.values())
