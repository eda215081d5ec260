"""What is measured: an encoder with its examples, random or saved."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn
from transformers import BertConfig, BertForSequenceClassification, PreTrainedModel

from speu_cli.data.columns import DataChoice
from speu_cli.data.examples import Examples
from speu_cli.stages.runtime import Runtime
from speu_cli.stages.session import open_session
from speu_cli.structures.layout import Layout, find_layout
from speu_cli.tasks.base import Task
from speu_cli.tasks.encoded import Encoded
from speu_cli.tasks.registry import find_task

Fisher = dict[str, Tensor]
Inputs = dict[str, Tensor]


@dataclass(frozen=True)
class Subject:
    """A model in eval mode, no parameter requiring gradients, and how its examples are batched."""

    model: PreTrainedModel
    layout: Layout
    task: Task
    batch_tokens: int

    @cached_property
    def parameters(self) -> dict[str, nn.Parameter]:
        """The parameters that units own a part of: those whose F is asked for."""
        return {name: self.model.get_parameter(name) for name in self.layout.parameters}

    def only_units_require_gradients(self) -> dict[str, nn.Parameter]:
        """Ask autograd for the gradients of these parameters, and of no others."""
        for parameter in self.parameters.values():
            parameter.requires_grad_(True)
        return self.parameters

    def batches(self, encoded: Encoded) -> Iterator[tuple[Inputs, Tensor]]:
        """Inputs and labels on the model's device, in the same batches for every method."""
        for indices in encoded.batches(self.batch_tokens):
            yield self.collate(encoded, indices)

    def collate(self, encoded: Encoded, indices: Sequence[int]) -> tuple[Inputs, Tensor]:
        """Inputs and labels of some examples on the model's device."""
        inputs, labels = encoded.collate(indices)
        device = self.model.device
        return {name: value.to(device) for name, value in inputs.items()}, labels.to(device)

    def losses(self, inputs: Inputs, labels: Tensor) -> Tensor:
        """The loss of each example, ``[batch]``."""
        return self.task.losses(self.model(**inputs).logits, labels)


class Choice(Protocol):
    """What to measure, small enough to be sent to another process."""

    @property
    def label(self) -> str:
        """For the table."""

    def open(self) -> tuple[Subject, Encoded]:
        """The subject anew, with its examples."""


@dataclass(frozen=True)
class RandomEncoder:
    """BERT-base of a few layers, with random weights, and random tokens of one length."""

    examples: int
    tokens: int
    layers: int
    batches: int
    device: str

    @property
    def label(self) -> str:
        """For the table."""
        return f"{self.examples} × {self.tokens} random tokens, {self.layers} layers of BERT-base"

    def open(self) -> tuple[Subject, Encoded]:
        """The same weights and tokens every time."""
        torch.manual_seed(0)
        config = BertConfig(num_hidden_layers=self.layers)
        model = BertForSequenceClassification(config).eval().requires_grad_(False).to(self.device)
        count = self.batches * self.examples
        tokens = torch.randint(config.vocab_size, (count, self.tokens)).tolist()
        numbers = torch.arange(count)
        encoded = Encoded(
            [{"input_ids": row} for row in tokens],
            labels=numbers % 2,
            padding={"input_ids": 0},
            ids=[str(number) for number in range(count)],
            keys=numbers,
        )
        task = find_task(model.config)
        return Subject(model, find_layout(model), task, self.examples * self.tokens), encoded


@dataclass(frozen=True)
class SavedEncoder:
    """A fine-tuned model and the first examples of a data set."""

    model: Path
    data: str
    examples: int
    join: int
    max_length: int | None
    batch_tokens: int
    device: str

    @property
    def label(self) -> str:
        """For the table."""
        return f"{self.examples} examples of {self.join} texts, {self.model.name}"

    def open(self) -> tuple[Subject, Encoded]:
        """The model anew."""
        runtime = Runtime(batch_tokens=self.batch_tokens, device=self.device)
        session = open_session(self.model, DataChoice(max_length=self.max_length), runtime)
        encoded = session.encode(joined(session.read(self.data)[: self.examples * self.join], self.join))
        model = session.checkpoint.model.eval().requires_grad_(False)
        return Subject(model, session.layout, session.task, self.batch_tokens), encoded


def joined(examples: Examples, texts: int) -> Examples:
    """As many texts in a row, to see what longer inputs cost."""
    rows = [examples[start : start + texts] for start in range(0, len(examples), texts)]
    longer = [replace(row[0], text=" ".join(example.text for example in row)) for row in rows]
    return Examples(longer, source=examples.source, columns=examples.columns)
