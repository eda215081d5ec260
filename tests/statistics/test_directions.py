"""Coherent directions: sums over a sample, by plain backward passes, against one example at a time."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_tasks import answering, image_processor, modelling, pictures, seeing, write_prompts, write_questions
from torch import Tensor
from transformers import PreTrainedModel

from laws import Case, Notes, largest_difference, make_case
from oracles import directions as oracle
from speu_cli.data.columns import DataChoice
from speu_cli.data.sources.load import load_examples
from speu_cli.errors import ArtifactError
from speu_cli.statistics.collector import collect
from speu_cli.statistics.directions import MOST, Directions, Kind
from speu_cli.statistics.steps import Step
from speu_cli.statistics.sums import DisjointUnion, Statistics
from speu_cli.statistics.wanted import Part, Wanted, wanted_parameters, wanted_slices
from speu_cli.structures.entries import take
from speu_cli.structures.layout import find_layout
from speu_cli.structures.mask import Mask
from speu_cli.tasks.base import Task
from speu_cli.tasks.causal_lm import CausalLanguageModelling
from speu_cli.tasks.classification import Classification
from speu_cli.tasks.encoding import encode
from speu_cli.tasks.image_classification import ImageClassification, tokens_of
from speu_cli.tasks.question_answering import QuestionAnswering
from tiny import tiny_tokenizer

SAMPLE = 9
DIRECTIONS = ("directions",)


def of_questions(folder: Path) -> Case:
    model = answering().double()
    examples = load_examples(write_questions(folder / "q.jsonl", 12), DataChoice(task="question-answering"))
    encoded = encode(examples, tiny_tokenizer("bert"), QuestionAnswering(), model, 16, 4)
    return Case(model, find_layout(model), QuestionAnswering(), encoded)


def of_prompts(folder: Path) -> Case:
    model, task = modelling(tied=True).double(), CausalLanguageModelling()
    examples = load_examples(write_prompts(folder / "p.jsonl", 11), DataChoice(task="causal-lm"))
    return Case(model, find_layout(model), task, encode(examples, tiny_tokenizer("llama"), task, model, 32))


def of_pictures(folder: Path) -> Case:
    model, task = seeing().double(), ImageClassification()
    examples = load_examples(str(pictures(folder / "set", 11)), DataChoice(task="image-classification"))
    encoded = encode(examples, image_processor(), task, model, tokens_of(model.config))
    return Case(model, find_layout(model), task, encoded)


CASES: dict[str, tuple[Callable[[Path], Case], Kind, int]] = {
    "two classes": (make_case, "classes", 2),
    "five classes": (lambda folder: make_case(folder, "llama", outputs=5), "classes", 5),
    "classes by signs": (lambda folder: make_case(folder, "distilbert"), "signs", 3),
    "images": (of_pictures, "classes", 3),
    "regression": (lambda folder: make_case(folder, outputs=1), "signs", 4),
    "questions": (of_questions, "signs", 4),
    "prompts": (of_prompts, "signs", 4),
}


def wanted_of(case: Case, kind: Kind, count: int, sample: int = SAMPLE) -> Wanted:
    directions = Directions(kind, count, sample)
    parameters: dict[str, Part | None] = wanted_parameters(case.model, case.layout, "all")
    return Wanted(parameters, directions=directions, directed=directions.sample(case.encoded.keys))


def collected(
    case: Case, wanted: Wanted, rows: range | list[int] | None = None, tokens: int = 100
) -> Statistics:
    encoded = case.encoded if rows is None else case.encoded.select(list(rows))
    return collect(
        case.model, case.layout, case.task, encoded, batch_tokens=tokens, wanted=wanted, progress=Notes()
    ).statistics


@pytest.mark.parametrize("name", CASES)
def test_directions_are_those_of_autograd_however_they_are_batched(name: str, tmp_path: Path) -> None:
    make, kind, count = CASES[name]
    case = make(tmp_path)
    wanted = wanted_of(case, kind, count)
    keys = case.encoded.keys.tolist()
    members = [keys.index(key) for key in sorted(keys)[:SAMPLE]]
    sums, totals = oracle.directions(
        case.model, case.task, case.encoded, wanted.parameters, kind, count, members
    )
    expected = Statistics(len(keys), {}, {}, {}, {}, directions=sums, direction_weights=totals)
    for tokens in (1, 40, 5000):
        found = collected(case, wanted, tokens=tokens)
        assert largest_difference(found, expected, DIRECTIONS) < 1e-10
        assert torch.equal(found.direction_weights, totals)
    assert not any(parameter.requires_grad for parameter in case.model.parameters())


def test_in_single_precision_they_differ_by_rounding_alone(tmp_path: Path) -> None:
    exact, single = (make_case(tmp_path, dtype=dtype) for dtype in (torch.float64, torch.float32))
    expected = collected(exact, wanted_of(exact, "classes", 2))
    for tokens in (1, 5000):
        found = collected(single, wanted_of(single, "classes", 2), tokens=tokens)
        assert largest_difference(found, expected, DIRECTIONS) < 1e-5


def test_of_a_model_in_bfloat16_they_are_summed_in_float32(tmp_path: Path) -> None:
    exact, half = (make_case(tmp_path, dtype=dtype) for dtype in (torch.float64, torch.bfloat16))
    expected = collected(exact, wanted_of(exact, "classes", 2))
    found = collected(half, wanted_of(half, "classes", 2))
    assert {along.dtype for along in found.directions.values()} == {torch.float32}
    one, other = (
        torch.cat([sums.directions[name].double().flatten() for name in expected.directions])
        for sums in (found, expected)
    )
    assert float((one - other).norm()) < 0.1 * float(other.norm())


def test_sets_add_up_and_are_subtracted(tmp_path: Path) -> None:
    """Law 2."""
    case = make_case(tmp_path)
    wanted = wanted_of(case, "classes", 2)
    whole, one, other = (collected(case, wanted, rows) for rows in (None, range(5), range(5, 17)))
    union = DisjointUnion()
    for part in (one, other):
        union.add(part)
    for found, expected in ((one + other, whole), (whole - one, other), (union.statistics(), whole)):
        assert largest_difference(found, expected, DIRECTIONS) < 1e-10
        assert torch.equal(found.direction_weights, expected.direction_weights)
    assert torch.equal(whole.scaled_to(99).direction_weights, whole.direction_weights)
    with pytest.raises(ValueError, match="different models"):
        whole - replace(one, directions={}, direction_weights=torch.zeros(0))


def test_without_examples_in_the_sample_they_are_zero(tmp_path: Path) -> None:
    case = make_case(tmp_path)
    wanted = replace(wanted_of(case, "classes", 2), directed=torch.tensor([5]))
    for rows in (None, []):
        found = collected(case, wanted, rows)
        assert found.direction_weights.tolist() == [0, 0]
        assert all(not along.any() and len(along) == 2 for along in found.directions.values())


@pytest.mark.parametrize("family", ["bert", "llama", "mixtral"])
def test_of_a_masks_slices_they_are_slices_of_the_whole(family: str, tmp_path: Path) -> None:
    case = make_case(tmp_path, family)
    mask = Mask(case.layout, {group.key: torch.arange(group.count) % 2 == 0 for group in case.layout})
    whole = wanted_of(case, "classes", 2)
    sliced = replace(whole, parameters=wanted_slices(mask), mask_statistics=False)
    expected, found = collected(case, whole).directions, collected(case, sliced).directions
    assert found.keys() == {name for name, _, _ in mask.slices()}
    for name, axes, indices in mask.slices():
        for k in range(2):
            assert torch.allclose(found[name][k], take(expected[name][k], axes, indices), rtol=1e-9)


def test_batches_get_smaller_when_memory_runs_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = make_case(tmp_path)
    wanted = wanted_of(case, "signs", 2)
    expected, notes, standings = collected(case, wanted), Notes(), Step.standings

    def short_of_memory(self: Step, model: PreTrainedModel, task: Task) -> Tensor:
        if len(self.ids) > 2:
            raise MemoryError
        return standings(self, model, task)

    monkeypatch.setattr(Step, "standings", short_of_memory)
    found = collect(
        case.model, case.layout, case.task, case.encoded, batch_tokens=400, wanted=wanted, progress=notes
    ).statistics
    assert largest_difference(found, expected, DIRECTIONS) < 1e-10
    assert torch.equal(found.direction_weights, expected.direction_weights)
    assert [note for note in notes.notes if "out of memory: directions in batches of 200 tokens" in note]


def test_what_is_not_finite_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = make_case(tmp_path)
    monkeypatch.setattr(Classification, "standings", lambda _, logits, labels: labels * torch.inf)
    with pytest.raises(ArtifactError, match="the model's margin on example '"):
        collected(case, wanted_of(case, "classes", 2))


def test_the_sample_is_that_of_the_smallest_hashes() -> None:
    rows = torch.tensor([5, -9, 70, 0, 3])
    assert Directions("classes", 2, 3).sample(rows).tolist() == [-9, 0, 3]
    assert Directions("classes", 2, 99).sample(rows).tolist() == [-9, 0, 3, 5, 70]


def test_signs_are_even_and_independent_in_a_sample_of_the_smallest_hashes() -> None:
    draw = torch.Generator().manual_seed(0)
    rows = torch.randint(-(2**63), 2**63 - 1, (200_000,), generator=draw)
    directions = Directions("signs", MOST, 1024)
    sample = directions.sample(rows)
    s = directions.weights(torch.zeros(1024), sample)
    assert s.shape == (1024, MOST)
    assert torch.equal(s[:, 0], torch.ones(1024, dtype=torch.float64))
    correlation = s.T @ s / 1024 - torch.eye(MOST, dtype=torch.float64)
    assert float(correlation.abs().max()) < 5 / 32  # five standard deviations


@pytest.mark.parametrize(
    ("kind", "count", "examples"), [("classes", 0, 5), ("signs", MOST + 1, 5), ("signs", 2, 0)]
)
def test_other_directions_are_none(kind: Kind, count: int, examples: int) -> None:
    with pytest.raises(ValueError, match="no directions"):
        Directions(kind, count, examples)
