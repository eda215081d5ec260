"""Wanda inside the selected units: input norms and the entries that they choose."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_tasks import answering, write_questions
from torch import nn
from transformers.pytorch_utils import Conv1D

from laws import Case, make_case
from oracles import masks as oracle
from speu_cli.data.columns import DataChoice
from speu_cli.data.sources.load import load_examples
from speu_cli.errors import ArtifactError, InputError
from speu_cli.masks.input_norms import input_norms
from speu_cli.masks.localization import MaskSettings
from speu_cli.masks.within import require_fits, wanda_sparsity, weights_of, with_wanda
from speu_cli.structures.layout import Layout, Slice, UnitGroup
from speu_cli.structures.mask import Mask
from speu_cli.tasks.encoding import encode
from speu_cli.tasks.question_answering import QuestionAnswering
from tiny import FAMILIES, tiny_tokenizer


def half_mask(layout: Layout) -> Mask:
    return Mask(layout, {group.key: torch.arange(group.count) % 2 == 0 for group in layout})


def paths_of(case: Case, mask: Mask) -> set[str]:
    return set(weights_of(mask, case.model).values())


def tokens_given(case: Case, path: str) -> list[np.ndarray]:
    """What a module is given for each token, one example at a time, so that nothing is padded."""
    tokens: list[np.ndarray] = []
    hook = case.model.get_submodule(path).register_forward_hook(
        lambda _, args, __: tokens.extend(args[0][0].numpy())
    )
    with hook, torch.no_grad():
        for index in range(len(case.encoded)):
            case.model(**case.encoded.collate([index])[0])
    return tokens


@pytest.mark.parametrize("family", FAMILIES)
def test_input_norms_are_over_every_token_and_no_padding(family: str, tmp_path: Path) -> None:
    case = make_case(tmp_path, family, count=7)
    paths = paths_of(case, Mask.ones(case.layout))
    found = input_norms(case.model, case.encoded, paths, batch_tokens=100)
    assert found.keys() == paths
    for path in paths:
        tokens = tokens_given(case, path)
        assert len(tokens) == sum(case.encoded.lengths)
        assert np.allclose(found[path].numpy(), oracle.input_norms(tokens), rtol=1e-10)


def test_input_norms_are_over_the_windows_that_an_example_has(tmp_path: Path) -> None:
    model = answering().double()
    choice = DataChoice(task="question-answering")
    examples = load_examples(write_questions(tmp_path / "q.jsonl", 8), choice)
    encoded = encode(examples, tiny_tokenizer("bert"), QuestionAnswering(), model, 16, 4)
    assert encoded.windows is not None and len(set(encoded.windows)) > 1
    count = len(encoded.rows)
    labels, ids = torch.zeros(count, 1, 2), [str(number) for number in range(count)]
    each = replace(encoded, windows=[1] * count, labels=labels, ids=ids)
    path = "bert.encoder.layer.1.output.dense"
    together = input_norms(model, encoded, [path], batch_tokens=1000)
    alone = input_norms(model, each, [path], batch_tokens=1)
    assert torch.allclose(together[path], alone[path], rtol=1e-10)


@pytest.mark.parametrize("family", FAMILIES)
def test_input_norms_do_not_depend_on_the_batches(family: str, tmp_path: Path) -> None:
    case = make_case(tmp_path, family, count=7)
    paths = paths_of(case, Mask.ones(case.layout))
    one, many = (input_norms(case.model, case.encoded, paths, batch_tokens=tokens) for tokens in (1, 10_000))
    turned = input_norms(case.model, case.encoded.select(range(6, -1, -1)), paths, batch_tokens=30)
    for path in paths:
        assert torch.allclose(one[path], many[path], rtol=1e-10)
        assert torch.allclose(one[path], turned[path], rtol=1e-10)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.9])
def test_entries_are_wandas_of_the_selected_weights(family: str, sparsity: float, tmp_path: Path) -> None:
    """Of rows that units own the whole row is compared; of columns what is selected of the row."""
    case = make_case(tmp_path, family, count=5)
    mask = half_mask(case.layout)
    norms = input_norms(case.model, case.encoded, paths_of(case, mask), batch_tokens=100)
    found = with_wanda(mask, case.model, norms, sparsity)
    assert found.selected == mask.selected
    assert found.within is not None
    assert found.within.keys() == {name for name, _, _ in mask.slices() if name.endswith(".weight")}
    for name, (axis,), indices in mask.slices():
        if name.endswith(".bias"):
            assert found.entries(name) is None
            continue
        weight = case.model.get_parameter(name).detach().numpy()
        of_inputs = norms[name.removesuffix(".weight")].numpy()
        rows = weight[indices] if axis == 0 else weight[:, indices]
        expected = oracle.wanda(rows, of_inputs if axis == 0 else of_inputs[indices], sparsity)
        assert np.array_equal(found.within[name].numpy(), expected), name
        assert sparsity or expected.all()


@given(
    rows=st.integers(1, 6),
    columns=st.integers(1, 12),
    sparsity=st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.9, 0.99]),
    seed=st.integers(0, 1000),
    transposed=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_entries_of_either_orientation_and_with_ties(
    rows: int, columns: int, sparsity: float, seed: int, transposed: bool
) -> None:
    """A Conv1D holds its weight the other way round; integers make equal scores."""
    draw = np.random.default_rng(seed)
    weight = draw.integers(-2, 3, size=(rows, columns)).astype(float)
    norms = draw.integers(0, 3, size=columns).astype(float)
    linear = Conv1D(rows, columns) if transposed else nn.Linear(columns, rows)
    of_module = torch.from_numpy(weight.T.copy() if transposed else weight)
    linear.weight = nn.Parameter(of_module, requires_grad=False)
    axis = 1 if transposed else 0
    group = UnitGroup("heads", 0, rows, (Slice("m.weight", (axis,), 1),), "m")
    model = nn.ModuleDict({"m": linear})
    found = with_wanda(Mask.ones(Layout((group,))), model, {"m": torch.from_numpy(norms)}, sparsity)
    assert found.within is not None
    entries = found.within["m.weight"].numpy()
    assert np.array_equal(entries.T if transposed else entries, oracle.wanda(weight, norms, sparsity))


def test_what_is_no_linear_layer_is_refused() -> None:
    group = UnitGroup("heads", 0, 4, (Slice("m.weight", (0,), 1),), "m")
    model = nn.ModuleDict({"m": nn.Embedding(4, 3)})
    with pytest.raises(ArtifactError, match=r"'m.weight' is in a Embedding, expected a linear layer"):
        with_wanda(Mask.ones(Layout((group,))), model, {"m": torch.ones(3)}, 0.5)


def test_a_module_that_does_not_see_the_tokens_is_refused(tmp_path: Path) -> None:
    case = make_case(tmp_path, count=3)
    with pytest.raises(ArtifactError, match=r"'classifier' is given \d+ rows for \d+ tokens"):
        input_norms(case.model, case.encoded, ["classifier"], batch_tokens=100)


@pytest.mark.parametrize(
    "wrong", ["wanda:1.5", "wanda:1", "wanda:-0.1", "wanda:x", "wanda:nan", "wanda:", "wanda", "0.9", ""]
)
def test_what_is_no_sparsity_is_refused(wrong: str) -> None:
    with pytest.raises(InputError, match="expected wanda:S with S of at least 0 and below 1"):
        MaskSettings(within=wrong)
    assert wanda_sparsity("wanda:0.9") == 0.9


def test_entries_have_to_be_of_every_weight_and_of_its_shape(tmp_path: Path) -> None:
    case = make_case(tmp_path, count=3)
    mask = half_mask(case.layout)
    norms = input_norms(case.model, case.encoded, paths_of(case, mask), batch_tokens=100)
    good = with_wanda(mask, case.model, norms, 0.5)
    assert good.within is not None
    require_fits(mask, case.model, "mask")
    require_fits(good, case.model, "mask")
    name = sorted(good.within)[0]
    for within in (
        {one: flags for one, flags in good.within.items() if one != name},
        {**good.within, name: good.within[name][:, :-1]},
        {**good.within, name.replace("weight", "bias"): torch.ones(8, dtype=torch.bool)},
    ):
        with pytest.raises(
            ArtifactError, match=r"'within/bert\..*', expected|'within/bert\..*' is .*expected"
        ):
            require_fits(replace(mask, within=within), case.model, "mask")
