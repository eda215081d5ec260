"""What the statistics of small and of large models take: file, memory, operations and time, as Markdown.

Only shapes are made of the models, from the configurations below: nothing is loaded, and nothing is run but
the calibration, two layers with random weights in float32 on this machine's processor. Its rate, in
floating-point operations a second, gives the times on a processor. That of a GPU has to be given for each
type, and whether it was measured or is assumed: the table says so. Of several GPUs one works at a time, for
the model is spread over them by layers. All examples of a set have its mean length.

Usage: ``python benchmarks/scaling.py [--gpu-rates bfloat16=2e14 --gpu-rates-are assumed] > table.md``.
"""

import argparse
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from figures import machine
from transformers import BertConfig, LlamaConfig, PretrainedConfig, PreTrainedModel, RobertaConfig
from transformers.utils import logging

from speu_cli.checkpoints.identity import ModelIdentity
from speu_cli.checkpoints.outline import NOWHERE, build_model
from speu_cli.data.columns import Columns
from speu_cli.stages.runtime import Runtime
from speu_cli.statistics.calibration import Calibration, Choose, calibrate
from speu_cli.statistics.cost import Batches, Outline
from speu_cli.statistics.files import Collection, StatisticsFile, statistics_size
from speu_cli.statistics.wanted import SAMPLE, Wanted, wanted_parameters, wanted_slices
from speu_cli.structures.layout import KINDS, Layout, find_layout
from speu_cli.structures.mask import Mask
from speu_cli.tasks.settings import EncodingSettings
from speu_cli.wording import long_duration, size

SPARSITY = 0.9
ROUNDS = 3  # of the calibration, of which the median counts
GPU_MEMORY, SHARE_OF_GPU = 80e9, 0.9  # the rest is for what is not counted, and for gaps
DIGEST = "0" * 64


@dataclass(frozen=True)
class Subject:
    """A model, and how it is run on a GPU.

    Attributes:
        name: For the table.
        config: What it is built from.
        dtype: Type that it computes in on a GPU.
        data: Numbers of examples, and their mean length.
    """

    name: str
    config: PretrainedConfig
    dtype: torch.dtype
    data: Sequence[tuple[int, int]]


def _llama(name: str, **sizes: Any) -> Subject:
    config = LlamaConfig(vocab_size=32_000, pad_token_id=0, max_position_embeddings=4096, **sizes)
    return Subject(name, config, torch.bfloat16, LONG)


SHORT, LONG = ((60_000, 40), (400_000, 40)), ((4_000, 256), (100_000, 256))
SUBJECTS = (
    Subject("BERT-base", BertConfig(), torch.float32, SHORT),
    Subject(
        "RoBERTa-large",
        RobertaConfig(
            vocab_size=50_265,
            hidden_size=1024,
            num_hidden_layers=24,
            num_attention_heads=16,
            intermediate_size=4096,
            max_position_embeddings=514,
            type_vocab_size=1,
        ),
        torch.float32,
        SHORT,
    ),
    _llama(
        "Llama-2-7B",
        hidden_size=4096,
        num_hidden_layers=32,
        num_attention_heads=32,
        intermediate_size=11_008,
    ),
    _llama(
        "Llama-2-13B",
        hidden_size=5120,
        num_hidden_layers=40,
        num_attention_heads=40,
        intermediate_size=13_824,
    ),
    _llama(
        "Llama-2-70B",
        hidden_size=8192,
        num_hidden_layers=80,
        num_attention_heads=64,
        num_key_value_heads=8,
        intermediate_size=28_672,
    ),
)


def _everything(model: PreTrainedModel, layout: Layout) -> Wanted:
    return Wanted(wanted_parameters(model, layout, "structures"))


def _mask_variables(_: PreTrainedModel, __: Layout) -> Wanted:
    return Wanted({})


def _slices(_: PreTrainedModel, layout: Layout) -> Wanted:
    return Wanted(wanted_slices(_mask(layout)), mask_statistics=False)


def _mask(layout: Layout) -> Mask:
    """As many units as the sparsity leaves, evenly over all layers."""
    mask, every = Mask.zeros(layout), round(1 / (1 - SPARSITY))
    for kind in KINDS:
        before = 0
        for group in layout.of_kind(kind):
            mask.selected[group.key][-before % every :: every] = True
            before += group.count
    return mask


WAYS: dict[str, Choose] = {
    "(all)": _everything,
    "--only mask": _mask_variables,
    f"--mask, S = {SPARSITY}": _slices,
}


def main() -> None:
    """Print the tables."""
    arguments = _arguments()
    logging.set_verbosity_error()
    here = machine()
    print(f"Processor: {here['processor']}, {here['threads']} threads, torch {here['torch']}.")
    for name, rate in arguments.gpu_rates.items():
        print(f"GPU: {rate / 1e12:,.3g} TFLOP/s in {name}, {arguments.gpu_rates_are}.")
    print(f"Batches of {arguments.batch_tokens:,} tokens; kept mask gradients of {SAMPLE:,} examples.\n")
    print("\n".join(_table(_sizes(arguments.batch_tokens))), end="\n\n")
    print("\n".join(_table(_times(arguments))))


def _sizes(batch_tokens: int) -> Iterator[list[str]]:
    """Rows of what does not grow with the data, the headings first."""
    parts = ["weights", "sums", "activations", "work space", "in all"]
    yield ["model", "parameters", "flags", "file", *parts, "main memory for the sample", "80 GB GPUs"]
    for subject in SUBJECTS:
        for flags, way in WAYS.items():
            outline = _outline(subject, way, *subject.data[0], batch_tokens)
            memory, needed = outline.memory, outline.memory.on("cuda")
            in_parts = (memory.weights, memory.statistics, memory.activations, memory.workspace, needed)
            yield [
                subject.name,
                f"{outline.model.num_parameters() / 1e6:,.0f} M",
                f"{flags}, {_name(subject.dtype)}",
                size(_file_size(outline)),
                *map(size, in_parts),
                size(memory.sample) if memory.sample else "–",
                str(math.ceil(needed / (SHARE_OF_GPU * GPU_MEMORY))),
            ]


def _times(arguments: argparse.Namespace) -> Iterator[list[str]]:
    """Rows of what grows with the data, the headings first."""
    on_gpu = [f"GPU, rate {arguments.gpu_rates_are}"] if arguments.gpu_rates else []
    yield ["model", "examples", "mean length", "flags", "operations", "processor", "its rate", *on_gpu]
    for subject in SUBJECTS:
        for flags, way in WAYS.items():
            timed = _calibrated(subject, way, arguments.batch_tokens)
            rate = arguments.gpu_rates.get(_name(subject.dtype))
            width = "" if timed.narrowing == 1 else f", 1/{timed.narrowing} width"
            for examples, length in subject.data:
                operations = _outline(subject, way, examples, length, arguments.batch_tokens).operations
                yield [
                    subject.name,
                    f"{examples:,}",
                    f"{length}",
                    flags,
                    f"{operations:.1e}",
                    long_duration(operations / timed.rate),
                    f"{timed.rate / 1e9:,.0f} GFLOP/s{width}",
                    *([long_duration(operations / rate) if rate else "–"] if on_gpu else []),
                ]


def _calibrated(subject: Subject, way: Choose, batch_tokens: int) -> Calibration:
    """The median of some calibrations on this processor."""
    examples, length = subject.data[0]
    rounds = [
        calibrate(
            subject.config,
            way,
            [length] * examples,
            batch_tokens=batch_tokens,
            device="cpu",
            dtype=torch.float32,
        )
        for _ in range(ROUNDS)
    ]
    return sorted(rounds, key=lambda one: one.rate)[ROUNDS // 2]


def _outline(
    subject: Subject,
    way: Choose,
    examples: int,
    length: int,
    batch_tokens: int,
) -> Outline:
    model = build_model(subject.config, device=NOWHERE, dtype=subject.dtype)
    layout = find_layout(model)
    batches = Batches.of([length] * examples, batch_tokens)
    return Outline(model, layout, way(model, layout), batches, sampled=min(SAMPLE, examples))


def _file_size(outline: Outline) -> int:
    """Bytes of the statistics file."""
    examples, wanted = outline.batches.examples, outline.wanted
    of_slices = not wanted.mask_statistics
    selected = _mask(outline.layout).selected
    file = StatisticsFile(
        statistics=outline.statistics,
        rows=np.zeros(examples, dtype=np.int64),
        used=np.ones(examples, dtype=np.bool_),
        holdout_losses=np.zeros(0),
        model=ModelIdentity(type(outline.model).__name__, DIGEST, DIGEST, DIGEST),
        settings=EncodingSettings("classification", 512, Columns("id", "text", None, "label")),
        seed=0,
        collected=Collection(
            scope="structures",
            parameters=bool(wanted.parameters),
            mask_statistics=wanted.mask_statistics,
            mask=DIGEST if of_slices else None,
            dtype="float32",
        ),
        planned=examples,
        selected={key: flags.nonzero()[:, 0] for key, flags in selected.items()} if of_slices else None,
    )
    return statistics_size(file)


def _table(rows: Iterator[list[str]]) -> Iterator[str]:
    """Lines of a Markdown table."""
    headings = next(rows)
    yield "| " + " | ".join(headings) + " |"
    yield "|" + "---|" * len(headings)
    yield from ("| " + " | ".join(row) + " |" for row in rows)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _rate(text: str) -> tuple[str, float]:
    name, rate = text.split("=")
    return name, float(rate)


def _arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--batch-tokens", type=int, default=Runtime.batch_tokens)
    rates_help = "sustained floating-point operations a second of one GPU"
    add("--gpu-rates", nargs="+", type=_rate, default=[], metavar="TYPE=X", help=rates_help)
    add("--gpu-rates-are", choices=("measured", "assumed"), help="where these rates come from")
    arguments = parser.parse_args(argv)
    if bool(arguments.gpu_rates) != bool(arguments.gpu_rates_are):
        parser.error("--gpu-rates and --gpu-rates-are go together")
    arguments.gpu_rates = dict(arguments.gpu_rates)
    return arguments


if __name__ == "__main__":
    main()
