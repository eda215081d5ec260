"""The laws of the statistics: exact, and independent of how the examples are batched."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from laws import PARTS, Case, Notes, largest_difference, make_case
from oracles import statistics as oracle
from speu_cli.statistics.collector import Collected, collect
from speu_cli.statistics.running import RunningSums
from speu_cli.statistics.steps import Step
from speu_cli.statistics.sums import Statistics
from speu_cli.statistics.wanted import Scope, Wanted, wanted_parameters, wanted_slices
from speu_cli.structures.mask import Mask
from tiny import FAMILIES

EXACT, SINGLE = 1e-10, 1e-5
WHOLE = 10_000
SCOPES: tuple[Scope, ...] = ("structures", "all")
WITH_BIASES = tuple(family for family in FAMILIES if family != "llama")

scopes = pytest.mark.parametrize("scope", SCOPES)
families = pytest.mark.parametrize("family", FAMILIES)


def collected(
    case: Case,
    *,
    batch_tokens: int = WHOLE,
    indices: list[int] | None = None,
    scope: Scope = "structures",
    progress: Notes | None = None,
) -> Statistics:
    return collect(
        case.model,
        case.layout,
        case.task,
        case.encoded if indices is None else case.encoded.select(indices),
        batch_tokens=batch_tokens,
        wanted=Wanted(wanted_parameters(case.model, case.layout, scope)),
        progress=progress,
    ).statistics


def expected(case: Case, scope: Scope = "structures") -> Statistics:
    """By autograd; leaves the model in float64."""
    names = list(wanted_parameters(case.model, case.layout, scope))
    return oracle.statistics(case.model, case.layout, case.task, case.encoded, names)


@scopes
@families
@pytest.mark.parametrize("outputs", [1, 2, 3])
def test_equal_to_autograd_one_example_at_a_time(
    family: str, scope: Scope, outputs: int, tmp_path: Path
) -> None:
    case = make_case(tmp_path, family, outputs=outputs)
    assert largest_difference(collected(case, scope=scope), expected(case, scope)) < EXACT


@families
def test_every_parameter_is_accounted_for_and_none_is_left_to_autograd(family: str, tmp_path: Path) -> None:
    case, told = make_case(tmp_path, family), Notes()
    found = collected(case, scope="all", progress=told)
    assert found.fisher.keys() == found.gradient.keys() == dict(case.model.named_parameters()).keys()
    without_gradient = {name for name, fisher in found.fisher.items() if not fisher.any()}
    assert all(name.endswith(("key.bias", "k_lin.bias")) for name in without_gradient)
    assert not told.notes


@scopes
@families
def test_float32_is_close_to_float64(family: str, scope: Scope, tmp_path: Path) -> None:
    single = make_case(tmp_path, family, dtype=torch.float32)
    found = collected(single, scope=scope, batch_tokens=60)
    assert largest_difference(found, expected(make_case(tmp_path, family), scope)) < SINGLE


@families
def test_sums_of_single_precision_are_given_as_they_are(family: str, tmp_path: Path) -> None:
    case = make_case(tmp_path, family, dtype=torch.float32)
    one = collect(case.model, case.layout, case.task, case.encoded, batch_tokens=60, dtype=torch.float32)
    assert {tensor.dtype for tensor in one.statistics.fisher.values()} == {torch.float32}
    assert largest_difference(one.statistics, collected(case, batch_tokens=60)) < SINGLE


@scopes
@families
@pytest.mark.parametrize("outputs", [1, 2, 3])
def test_half_precision_is_as_close_to_float64_as_its_rounding_lets_it(
    family: str, scope: Scope, outputs: int, tmp_path: Path
) -> None:
    """A layer rounds some 25 times forth and twice as often back, each time by up to ε/2.

    At random that is √150 · ε/2 of a gradient in two layers, some 6 to 8 ε with the embeddings and the head,
    and twice as much of its square.
    """
    half = make_case(tmp_path, family, outputs=outputs, dtype=torch.bfloat16)
    found = collected(half, scope=scope, batch_tokens=60)
    assert largest_difference(found, expected(half, scope)) < 16 * torch.finfo(torch.bfloat16).eps


@families
def test_half_precision_is_summed_in_single(family: str, tmp_path: Path) -> None:
    """Example by example the activations are autograd's, bit for bit; that rounds each gradient once more.

    By up to ε/2, which is ε of the square; where it sums over positions, by as much again.
    """
    case, eps = make_case(tmp_path, family, dtype=torch.bfloat16), torch.finfo(torch.bfloat16).eps
    wanted = Wanted(wanted_parameters(case.model, case.layout, "structures"))
    sums = RunningSums(case.model, case.layout, wanted).state()
    assert {tensor.dtype for tensor in sums.values() if tensor.is_floating_point()} == {torch.float32}
    found = collected(case, batch_tokens=1)
    totals = {name: torch.zeros(2, *sums.shape, dtype=torch.float64) for name, sums in found.fisher.items()}
    for index in range(len(case.encoded)):
        inputs, labels = case.encoded.collate([index])
        with torch.enable_grad():
            parameters = {name: case.model.get_parameter(name).requires_grad_(True) for name in totals}
            loss = case.task.losses(case.model(**inputs).logits, labels).sum()
            gradients = torch.autograd.grad(loss, list(parameters.values()), materialize_grads=True)
        for name, gradient in zip(parameters, gradients, strict=True):
            totals[name] += torch.stack([gradient.double() ** 2, gradient.double()])
    for number, mine in enumerate((found.fisher, found.gradient)):
        scale = max(float(both[number].abs().max()) for both in totals.values())
        for name, both in totals.items():
            assert (mine[name] - both[number]).abs().max() < 2 * eps * scale


@pytest.mark.gpu
@families
def test_a_gpu_gives_what_the_processor_gives(family: str, tmp_path: Path) -> None:
    """Llama's norms are computed in single precision, whatever that of the model."""
    case = make_case(tmp_path, family)
    expected = collected(case)
    case.model.to("cuda")
    assert largest_difference(collected(case), expected) < (SINGLE if family == "llama" else EXACT)


@scopes
@families
@pytest.mark.parametrize("batch_tokens", [1, 30, 100])
def test_independent_of_batch_size_and_padding(
    family: str, scope: Scope, batch_tokens: int, tmp_path: Path
) -> None:
    case = make_case(tmp_path, family)
    one = collected(case, batch_tokens=batch_tokens, scope=scope)
    assert largest_difference(one, collected(case, scope=scope)) < EXACT


@scopes
@families
def test_independent_of_order(family: str, scope: Scope, tmp_path: Path) -> None:
    case = make_case(tmp_path, family)
    backwards = list(reversed(range(len(case.encoded))))
    one = collected(case, indices=backwards, scope=scope, batch_tokens=40)
    assert largest_difference(one, collected(case, scope=scope, batch_tokens=40)) < EXACT


@scopes
@families
def test_of_a_union_is_the_sum_and_of_a_difference_the_difference(
    family: str, scope: Scope, tmp_path: Path
) -> None:
    case = make_case(tmp_path, family)
    forget, remaining = list(range(5)), list(range(5, len(case.encoded)))
    of_forget, of_remaining = (collected(case, indices=part, scope=scope) for part in (forget, remaining))
    of_all = collected(case, scope=scope)
    assert largest_difference(of_forget + of_remaining, of_all) < EXACT
    assert largest_difference(of_all - of_forget, of_remaining) < EXACT


@scopes
def test_opposite_gradients_do_not_cancel_in_the_fisher(scope: Scope, tmp_path: Path) -> None:
    case = make_case(tmp_path, outputs=1, count=1)
    inputs, _ = case.encoded.collate([0])
    prediction = case.model(**inputs).logits.double()[0, 0]
    twice = case.encoded.select([0, 0])
    twice = replace(twice, labels=torch.stack([prediction - 1, prediction + 1]))
    both = collected(replace(case, encoded=twice), scope=scope)
    one = collected(replace(case, encoded=twice), scope=scope, indices=[0])
    for name, fisher in both.fisher.items():
        assert torch.allclose(fisher, 2 * one.gradient[name] ** 2, rtol=1e-9, atol=0)
        assert both.gradient[name].abs().max() <= 1e-9 * one.gradient[name].abs().max()
    assert max(float(fisher.max()) for fisher in both.fisher.values()) > 0


@families
def test_mask_gradients_by_identity_by_hook_and_by_autograd_agree(family: str, tmp_path: Path) -> None:
    """∂ℓ/∂m_i = Σ over the unit's slice of W ⊙ ∂ℓ/∂W of its output projection."""
    case = make_case(tmp_path, family, count=6)
    for index, (of_parameters, by_autograd) in enumerate(
        oracle.example_gradients(case.model, case.layout, case.task, case.encoded)
    ):
        by_hook = collected(case, indices=[index]).mask_gradient
        for group in case.layout:
            name = group.slices[-1].parameter
            products = (case.model.get_parameter(name) * of_parameters[name]).sum(0)
            by_identity = products.unflatten(0, (group.count, group.width)).sum(1)
            assert torch.allclose(by_identity, by_autograd[group.key], rtol=1e-9, atol=1e-12)
            assert torch.allclose(by_hook[group.key], by_autograd[group.key], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("family", WITH_BIASES)
def test_the_bias_of_a_key_has_no_gradient_rather_than_noise(family: str, tmp_path: Path) -> None:
    case = make_case(tmp_path, family, dtype=torch.float32)
    found = collected(case, scope="all")
    keys = [name for name in found.fisher if name.endswith(("key.bias", "k_lin.bias"))]
    assert len(keys) == 2
    for name in keys:
        assert not found.fisher[name].any()
        assert not found.gradient[name].any()


def test_leaves_the_model_as_it_was(tmp_path: Path) -> None:
    case = make_case(tmp_path)
    before = {name: tensor.clone() for name, tensor in case.model.state_dict().items()}
    collected(case)
    assert all(torch.equal(tensor, before[name]) for name, tensor in case.model.state_dict().items())
    assert all(parameter.grad is None for parameter in case.model.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in case.model.modules())


def test_losses_are_those_of_the_examples_in_order(tmp_path: Path) -> None:
    case = make_case(tmp_path)
    found = collect(case.model, case.layout, case.task, case.encoded, batch_tokens=30).losses
    for index in range(len(case.encoded)):
        inputs, labels = case.encoded.collate([index])
        assert found[index].item() == pytest.approx(
            case.task.losses(case.model(**inputs).logits, labels).item()
        )


class Kept:
    """Keeps what it is given after every batch, and ends the run after so many of them."""

    def __init__(self, batches: int | None = None) -> None:
        self.state: dict[str, Tensor] | None = None
        self.left, self.told_of_interruption = batches, False

    def load(self) -> dict[str, Tensor] | None:
        return self.state

    def between_batches(self, state: Callable[[], dict[str, Tensor]]) -> None:
        self.state = {name: tensor.clone() for name, tensor in state().items()}
        if self.left is not None:
            self.left -= 1
            if not self.left:
                raise KeyboardInterrupt

    def interrupted(self, state: Callable[[], dict[str, Tensor]]) -> None:
        self.told_of_interruption = True
        self.state = {name: tensor.clone() for name, tensor in state().items()}


def collected_and_kept(case: Case, kept: Kept | None, batch_tokens: int | None = 30) -> Collected:
    names = wanted_parameters(case.model, case.layout, "all")
    wanted = Wanted(names, sampled=case.encoded.keys[::3], most_units=4)
    return collect(
        case.model,
        case.layout,
        case.task,
        case.encoded,
        batch_tokens=batch_tokens,
        wanted=wanted,
        keeper=kept,
    )


def assert_same_bits(one: Collected, other: Collected) -> None:
    assert one.statistics.count == other.statistics.count
    assert one.batch_tokens == other.batch_tokens
    assert torch.equal(one.losses, other.losses)
    for part in (*PARTS, "mask_rows"):
        mine, theirs = getattr(one.statistics, part), getattr(other.statistics, part)
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)


@families
@pytest.mark.parametrize("batches", [1, 3])
def test_an_interrupted_pass_that_is_taken_up_ends_with_the_same_bits(
    family: str, batches: int, tmp_path: Path
) -> None:
    case, kept = make_case(tmp_path, family, dtype=torch.float32), Kept(batches)
    with pytest.raises(KeyboardInterrupt):
        collected_and_kept(case, kept)
    kept.left = None
    # The size of the batches is the interrupted run's: it is part of the bits.
    resumed = collected_and_kept(case, kept, batch_tokens=None)
    assert 0 < resumed.resumed < 17
    assert_same_bits(resumed, collected_and_kept(case, None))


@pytest.mark.parametrize("in_the_middle", [False, True])
def test_a_pass_that_fails_is_kept_unless_in_the_middle_of_a_batch(
    in_the_middle: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case, kept = make_case(tmp_path, dtype=torch.float32), Kept()
    with monkeypatch.context() as patch:
        owner, name = (RunningSums, "batch_done") if in_the_middle else (Step, "losses")
        real, calls = getattr(owner, name), [0]

        def fail_late(*args: object) -> object:
            calls[0] += 1
            if calls[0] == (3 if in_the_middle else 3 + 4):  # four times before the pass
                raise ZeroDivisionError
            return real(*args)

        patch.setattr(owner, name, fail_late)
        with pytest.raises(ZeroDivisionError):
            collected_and_kept(case, kept)
    assert kept.told_of_interruption is not in_the_middle
    resumed = collected_and_kept(case, kept)
    assert 0 < resumed.resumed < 17
    assert_same_bits(resumed, collected_and_kept(case, None))


def test_an_empty_set_sums_to_zero(tmp_path: Path) -> None:
    case = make_case(tmp_path)
    empty = collected(case, indices=[])
    assert empty.count == 0
    assert largest_difference(collected(case) + empty, collected(case)) == 0


@families
def test_the_slices_of_a_mask_are_those_of_the_whole(family: str, tmp_path: Path) -> None:
    case, draw = make_case(tmp_path, family), torch.Generator().manual_seed(0)
    selected = {group.key: torch.rand(group.count, generator=draw) < 0.3 for group in case.layout}
    selected["filters/0"][:] = False
    mask = Mask(case.layout, selected)
    found = collect(
        case.model,
        case.layout,
        case.task,
        case.encoded,
        batch_tokens=60,
        wanted=Wanted(wanted_slices(mask), mask_statistics=False),
    ).statistics
    whole = collected(case)
    slices = {name: (axes, indices) for name, axes, indices in mask.slices()}
    assert found.fisher.keys() == found.gradient.keys() == slices.keys()
    assert not found.mask_gradient
    assert not found.mask_fisher
    for part in ("fisher", "gradient"):
        scale = max(float(sums.abs().max()) for sums in getattr(whole, part).values())
        for name, (axes, indices) in slices.items():
            of_whole = getattr(whole, part)[name].index_select(axes[0], indices)
            assert getattr(found, part)[name].shape == of_whole.shape
            assert (getattr(found, part)[name] - of_whole).abs().max() < EXACT * scale


@families
@pytest.mark.parametrize("batch_tokens", [1, 60, WHOLE])
def test_a_large_group_has_its_diagonal_and_the_rows_of_a_sample(
    family: str, batch_tokens: int, tmp_path: Path
) -> None:
    """Filters here; there are fewer heads, of which B is kept whole."""
    case = make_case(tmp_path, family)
    chosen = [11, 2, 7, 16]
    elsewhere = torch.tensor([5, -3])  # of examples that another process has
    wanted = Wanted(
        wanted_parameters(case.model, case.layout, "structures"),
        sampled=torch.cat([case.encoded.keys[chosen], elsewhere]),
        most_units=4,
    )
    found = collect(
        case.model, case.layout, case.task, case.encoded, batch_tokens=batch_tokens, wanted=wanted
    ).statistics
    ascending = sorted(chosen, key=lambda i: int(case.encoded.keys[i]))
    assert found.sampled.tolist() == case.encoded.keys[ascending].tolist()
    assert found.mask_rows.keys() == {"filters/0", "filters/1"}
    whole = expected(case)
    gradients = oracle.example_gradients(case.model, case.layout, case.task, case.encoded)
    for group in case.layout:
        of_examples = torch.stack([of_masks[group.key] for _, of_masks in gradients])
        if group.kind == "filters":
            diagonal = whole.mask_fisher[group.key].diagonal()
            assert torch.allclose(found.mask_fisher[group.key], diagonal, rtol=EXACT, atol=0)
            assert torch.allclose(found.mask_rows[group.key], of_examples[ascending], rtol=1e-9, atol=1e-12)
        else:
            assert torch.allclose(found.mask_fisher[group.key], whole.mask_fisher[group.key], rtol=1e-9)
        assert torch.allclose(found.mask_gradient[group.key], of_examples.sum(0), rtol=1e-9, atol=1e-12)


def test_of_a_sample_without_examples_here_there_are_no_rows(tmp_path: Path) -> None:
    case = make_case(tmp_path, count=3)
    wanted = Wanted({}, sampled=torch.tensor([5]), most_units=4)
    found = collect(
        case.model, case.layout, case.task, case.encoded, batch_tokens=WHOLE, wanted=wanted
    ).statistics
    assert found.mask_rows["filters/0"].shape == (0, 24)
    assert not len(found.sampled)


HEADS = {"bert": "classifier", "roberta": "classifier.out_proj", "distilbert": "classifier", "llama": "score"}


def with_tied_decoder(case: Case, family: str) -> Case:
    """The same matrix embeds the words and tells them apart at the end: classes are words."""
    words = case.model.get_input_embeddings().weight
    decoder = nn.Linear(16, len(words), bias=False).requires_grad_(False).eval()
    decoder.weight = words
    case.model.set_submodule(HEADS[family], decoder)
    labels = torch.arange(len(case.encoded)) % len(words)
    return replace(case, encoded=replace(case.encoded, labels=labels))


@families
@pytest.mark.parametrize("batch_tokens", [1, 60, WHOLE])
def test_tied_embeddings_are_summed_before_they_are_squared(
    family: str, batch_tokens: int, tmp_path: Path
) -> None:
    case, told = with_tied_decoder(make_case(tmp_path, family), family), Notes()
    found = collected(case, scope="all", batch_tokens=batch_tokens, progress=told)
    assert f"{HEADS[family]}.weight" not in found.fisher
    assert not told.notes
    assert largest_difference(found, expected(case, "all")) < EXACT


def share_a_norm(model: nn.Module) -> None:
    first, second = model.get_submodule("bert.encoder.layer").children()
    second.attention.output.LayerNorm = first.attention.output.LayerNorm


def share_a_projection(model: nn.Module) -> None:
    """The pooler is of no unit, the projection of the attention's outputs is: both are of 16 × 16."""
    model.bert.pooler.dense.weight = model.get_parameter("bert.encoder.layer.0.attention.output.dense.weight")


def share_an_embedding(model: nn.Module) -> None:
    """Words and positions are looked up in one table."""
    model.bert.embeddings.position_embeddings.weight = model.bert.embeddings.word_embeddings.weight


def chunk_the_feed_forward(model: nn.Module) -> None:
    """Each of its modules runs once a token."""
    for layer in model.get_submodule("bert.encoder.layer").children():
        layer.chunk_size_feed_forward = 1


@scopes
@pytest.mark.parametrize(
    "reuse", [share_a_norm, share_a_projection, share_an_embedding, chunk_the_feed_forward]
)
def test_a_parameter_that_is_used_several_times(
    reuse: Callable[[nn.Module], None], scope: Scope, tmp_path: Path
) -> None:
    case, told = make_case(tmp_path), Notes()
    reuse(case.model)
    found = collected(case, scope=scope, batch_tokens=60, progress=told)
    assert not told.notes
    assert largest_difference(found, expected(case, scope)) < EXACT


def test_many_rows_of_mask_gradients(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """B comes of more than one product of gathered rows."""
    monkeypatch.setattr("speu_cli.statistics.running.PENDING_ROWS", 5)
    case = make_case(tmp_path)
    assert largest_difference(collected(case, batch_tokens=30), expected(case)) < EXACT
