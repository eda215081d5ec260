"""What a pass takes, as counted from shapes, beside what it really takes."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    DistilBertConfig,
    LlamaConfig,
    PretrainedConfig,
    PreTrainedModel,
    RobertaConfig,
)

from speu_cli.checkpoints.outline import NOWHERE, build_model
from speu_cli.data.batches import Batch
from speu_cli.progress import Silent
from speu_cli.statistics.collector import Pass, collect
from speu_cli.statistics.cost import FORWARD, Batches, Outline
from speu_cli.statistics.kernels import compiled
from speu_cli.statistics.running import RunningSums
from speu_cli.statistics.sums import SUMS
from speu_cli.statistics.wanted import Part, Wanted, wanted_parameters
from speu_cli.structures.layout import find_layout
from speu_cli.tasks.encoded import Encoded
from speu_cli.tasks.registry import find_task
from tiny import FAMILIES, tiny_model

EXAMPLES, TOKENS = 4, 24
WAYS = ("structures", "all", "only mask", "slices", "sampled")
LLAMA_70B: dict[str, Any] = {
    "hidden_size": 8192,
    "num_hidden_layers": 80,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "intermediate_size": 28_672,
    "vocab_size": 32_000,
}


def config_of(family: str) -> PretrainedConfig:
    """Wide enough for what is counted to outweigh what is not, such as the statistics of a norm."""
    sizes: dict[str, Any] = {
        "num_hidden_layers": 3,
        "hidden_size": 96,
        "num_attention_heads": 4,
        "intermediate_size": 320,
        "vocab_size": 100,
        "pad_token_id": 0,
    }
    if family == "distilbert":
        return DistilBertConfig(n_layers=3, dim=96, n_heads=4, hidden_dim=320, vocab_size=100, pad_token_id=0)
    if family == "llama":
        return LlamaConfig(**sizes, num_key_value_heads=2)
    return BertConfig(**sizes) if family == "bert" else RobertaConfig(**sizes)


def wanted_of(model: PreTrainedModel, way: str) -> Wanted:
    layout = find_layout(model)
    if way == "slices":  # of the upper layers alone
        last = [name for name in layout.parameters if f".{model.config.num_hidden_layers - 1}." in name]
        part = Part((0,), torch.tensor([0, 3]))
        return Wanted({name: part for name in last if name.endswith("weight")}, mask_statistics=False)
    if way == "only mask":
        return Wanted({})
    if way == "sampled":
        keys = torch.arange(3)
        return Wanted(wanted_parameters(model, layout, "structures"), sampled=keys, most_units=10)
    return Wanted(wanted_parameters(model, layout, "all" if way == "all" else "structures"))


def examples(count: int = EXAMPLES, tokens: int = TOKENS) -> Encoded:
    draw = torch.Generator().manual_seed(0)
    ids = torch.randint(1, 60, (count, tokens), generator=draw).tolist()
    return Encoded(
        [{"input_ids": row, "attention_mask": [1] * tokens} for row in ids],
        torch.zeros(count, dtype=torch.int64),
        {"input_ids": 0, "attention_mask": 0},
        [str(number) for number in range(count)],
        torch.arange(count),
    )


def outline(config: PretrainedConfig, way: str, dtype: torch.dtype = torch.float32, **sizes: int) -> Outline:
    model = build_model(config, device=NOWHERE, dtype=dtype)
    count, tokens = sizes.get("count", EXAMPLES), sizes.get("tokens", TOKENS)
    batches = Batches.of([tokens] * count, count * tokens)
    return Outline(model, find_layout(model), wanted_of(model, way), batches, sampled=3)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_statistics_are_those_of_a_pass(family: str, way: str, dtype: torch.dtype) -> None:
    model = tiny_model(family).to(dtype)
    layout, wanted = find_layout(model), wanted_of(model, way)
    sums = RunningSums(model, layout, wanted)
    real = sum(one.nbytes for name, one in sums.state().items() if name.endswith(("/value", "/small")))
    found = outline(model.config, way, dtype)
    assert found.memory.statistics == real
    assert found.memory.weights == sum(one.nbytes for one in [*model.parameters(), *model.buffers()])
    task = find_task(model.config)
    statistics = collect(
        model, layout, task, examples(), batch_tokens=50, wanted=wanted, dtype=torch.float32
    ).statistics
    assert found.memory.sample == sum(rows.nbytes for rows in statistics.mask_rows.values())
    assert (found.memory.sample > 0) == (way == "sampled")
    for part in (*SUMS, "mask_rows"):
        mine, theirs = getattr(found.statistics, part), getattr(statistics, part)
        assert {name: (one.shape, one.dtype) for name, one in mine.items()} == {
            name: (one.shape, one.dtype) for name, one in theirs.items()
        }
    assert found.statistics.sampled.shape == statistics.sampled.shape


@contextmanager
def kept_for_backward(model: PreTrainedModel, listened: list[str]) -> Iterator[dict[int, int]]:
    """Bytes of each storage that autograd or a listener to these modules keeps, parameters aside."""
    own = {one.untyped_storage().data_ptr() for one in [*model.parameters(), *model.buffers()]}
    kept: dict[int, int] = {}
    alive = []  # so that no storage takes the place of another

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
            alive.append(tensor)
        return tensor

    def keep_input(_: nn.Module, args: tuple[Tensor, ...]) -> None:
        keep(args[0])

    handles = [model.get_submodule(path).register_forward_pre_hook(keep_input) for path in listened]
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        yield kept
    for handle in handles:
        handle.remove()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_activations_are_what_autograd_and_the_listener_keep(
    family: str, way: str, dtype: torch.dtype
) -> None:
    config = config_of(family)
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(config).to(dtype).eval().requires_grad_(False)
    layout, wanted = find_layout(model), wanted_of(model, way)
    run = Pass(model, layout, find_task(config), examples(), wanted, 1000, Silent())
    listened = [name.rpartition(".")[0] for name in wanted.parameters]
    listened += [group.output for group in layout] if wanted.mask_statistics else []
    with run.attached(), kept_for_backward(model, listened) as kept:
        run.add(Batch(range(EXAMPLES), tokens=0))
    assert outline(config, way, dtype).memory.activations == pytest.approx(sum(kept.values()), rel=0.2)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("way", WAYS)
def test_operations_are_those_of_a_batch(family: str, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # The counter sees products of PyTorch alone, and attention if it is made of them.
    monkeypatch.setattr(compiled, "fits", lambda *_: False)
    config = config_of(family)
    model = build_model(config, device="cpu", dtype=torch.float32)
    run = Pass(
        model, find_layout(model), find_task(config), examples(), wanted_of(model, way), 1000, Silent()
    )
    with run.attached(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        run.add(Batch(range(EXAMPLES), tokens=0))
    assert outline(config, way).operations == pytest.approx(counter.get_total_flops(), rel=0.1)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("way", ["all", "structures"])
def test_a_head_over_a_vocabulary_counts(tied: bool, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "fits", lambda *_: False)
    config = config_of("llama")
    config.architectures, config.tie_word_embeddings, config.vocab_size = ["LlamaForCausalLM"], tied, 900
    model, task = build_model(config, device="cpu", dtype=torch.float32), find_task(config)
    wanted = wanted_of(model, way)
    encoded = task.made_up([TOKENS] * EXAMPLES, config)
    run = Pass(model, find_layout(model), task, encoded, wanted, 1000, Silent())
    listened = [name.rpartition(".")[0] for name in wanted.parameters]
    listened += [group.output for group in find_layout(model)]
    with run.attached(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        run.add(Batch(range(EXAMPLES), tokens=0))
    with run.attached(), kept_for_backward(model, listened) as kept:
        run.add(Batch(range(EXAMPLES), tokens=0))
    found = outline(config, way)
    assert found.operations == pytest.approx(counter.get_total_flops(), rel=0.15)
    assert found.memory.activations == pytest.approx(sum(kept.values()), rel=0.25)


@pytest.mark.parametrize("way", WAYS)
def test_operations_grow_with_the_examples_and_memory_does_not(way: str) -> None:
    few = outline(config_of("bert"), way)
    many = replace(few, batches=Batches.of([TOKENS] * EXAMPLES * 10, EXAMPLES * TOKENS))
    assert many.operations == pytest.approx(10 * few.operations)
    assert many.memory == few.memory


def test_a_larger_batch_takes_more_memory_and_no_more_operations() -> None:
    one = outline(config_of("bert"), "structures")
    lengths = [TOKENS] * EXAMPLES * 4
    small, large = (replace(one, batches=Batches.of(lengths, size)) for size in (TOKENS, 4 * TOKENS))
    assert large.operations == pytest.approx(small.operations)
    assert large.memory.activations == 4 * small.memory.activations
    assert large.memory.statistics == small.memory.statistics


def test_batches_in_numbers() -> None:
    assert Batches.of([2, 5, 3], 6) == Batches(
        examples=3, tokens=10, padded=5 + 2 * 3, pairs=25 + 2 * 9, most_tokens=6, most_examples=2, longest=5
    )


def test_a_sample_is_in_the_memory_of_the_machine() -> None:
    memory = outline(config_of("bert"), "sampled").memory
    assert memory.on("cpu") - memory.on("cuda:0") == memory.sample > 0


def test_a_model_of_seventy_billion_parameters_is_counted_from_its_config() -> None:
    config = LlamaConfig(**LLAMA_70B)
    with torch.device("meta"):
        parameters = AutoModelForSequenceClassification.from_config(config).num_parameters()
    assert 6.8e10 < parameters < 7e10
    found = outline(config, "structures", torch.bfloat16)
    assert found.model.num_parameters() == parameters
    layers = sum(found.model.get_parameter(name).numel() for name in found.layout.parameters)
    assert found.memory.weights == pytest.approx(2 * parameters, rel=1e-6)
    assert found.memory.statistics == pytest.approx(2 * 2 * 4 * layers, rel=1e-3)  # F and g, two tensors each
    assert found.operations == pytest.approx(3 * FORWARD * layers * EXAMPLES * TOKENS, rel=0.05)
