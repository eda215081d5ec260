"""A loaded model with its task, its units and the way its examples are read and encoded."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from transformers import PretrainedConfig, PreTrainedTokenizerBase

from speu_cli.checkpoints.load import Checkpoint, load_checkpoint, read_config
from speu_cli.checkpoints.processors import Processor
from speu_cli.checkpoints.write import RECORD_NAME, read_record
from speu_cli.data.columns import CAUSAL_LM, QUESTION_ANSWERING, DataChoice
from speu_cli.data.examples import Examples
from speu_cli.data.sources.load import load_examples
from speu_cli.data.sources.some_rows import load_some
from speu_cli.errors import InputError
from speu_cli.stages.runtime import Runtime
from speu_cli.structures.layout import Layout, find_family, find_layout
from speu_cli.tasks.base import Loss, Task
from speu_cli.tasks.distributions import Kept
from speu_cli.tasks.encoding import Encoded, encode
from speu_cli.tasks.generation import generate, recalls, right_answers
from speu_cli.tasks.image_classification import tokens_of
from speu_cli.tasks.outcomes import Outcomes, outcomes, several_losses
from speu_cli.tasks.preparation import default_stride
from speu_cli.tasks.prompts import template_of
from speu_cli.tasks.registry import find_task, require_task
from speu_cli.tasks.settings import EncodingSettings, merge_choice, settings_of, without_ids

DEFAULT_MAX_LENGTH = 512


class Load(Protocol):
    """Reads a checkpoint folder."""

    def __call__(self, folder: Path, *, device: str, dtype: torch.dtype) -> Checkpoint:
        """Read the folder for a device, to compute in a type."""
        ...


@dataclass(frozen=True)
class Session:
    """What the stages work with.

    Attributes:
        checkpoint: The model.
        layout: Its units.
        task: Its task.
        choice: How examples are read, as far as it is known.
        max_length: Longest input in tokens.
        doc_stride: Tokens that two windows of a context share; None where there are no windows.
        template: SHA-256 of the chat template that prompts are written with, None if without one.
        runtime: Where it runs.
    """

    checkpoint: Checkpoint
    layout: Layout
    task: Task
    choice: DataChoice
    max_length: int
    doc_stride: int | None
    template: str | None
    runtime: Runtime

    def read(self, source: str) -> Examples:
        """Read examples whose ids matter."""
        return load_examples(source, self.choice)

    def read_some(self, source: str, wanted: Callable[[str], bool]) -> Examples:
        """Read at least the examples with wanted ids."""
        return load_some(source, self.choice, wanted)

    def read_like(self, examples: Examples, source: str) -> Examples:
        """Read a held-out or test set, from the columns of the training set."""
        return load_examples(source, without_ids(self.choice, examples.columns))

    def settings(self, examples: Examples) -> EncodingSettings:
        """The settings to record."""
        return settings_of(examples, self.task.name, self.max_length, self.doc_stride, self.template)

    def encode(self, examples: Examples) -> Encoded:
        """Encode examples for this model."""
        return encode(
            examples,
            self.checkpoint.tokenizer,
            self.task,
            self.checkpoint.model,
            self.max_length,
            self.doc_stride,
            self.template is not None,
        )

    def recalls(self, encoded: Encoded, most_tokens: int) -> npt.NDArray[np.float64]:
        """ROUGE-L recall of what the model answers to prompts, in at most so many tokens; float64 ``[n]``.

        Args:
            encoded: The prompts with their answers.
            most_tokens: Of an answer.

        Returns:
            0 … 1 for each.

        Raises:
            InputError: The task has no prompts.
        """
        tokenizer = self.checkpoint.tokenizer
        if self.task.name != CAUSAL_LM or not isinstance(tokenizer, PreTrainedTokenizerBase):
            raise InputError(f"--generate is for {CAUSAL_LM}, but the task is {self.task.name}")
        answers = generate(
            self.checkpoint.model,
            tokenizer,
            encoded,
            most_tokens,
            batch_tokens=self.runtime.batch_tokens,
            progress=self.runtime.progress,
        )
        return recalls(answers, right_answers(encoded))

    def losses(self, encoded: Encoded, description: str) -> npt.NDArray[np.float64]:
        """ℓ of examples by one forward pass, float64 ``[n]``."""
        return self.several_losses([self.task], encoded, description)[:, 0]

    def several_losses(
        self, wanted: Sequence[Loss], encoded: Encoded, description: str
    ) -> npt.NDArray[np.float64]:
        """Some losses of examples by one forward pass, float64 ``[n, wanted]``."""
        runtime = self.runtime
        return several_losses(
            self.checkpoint.model, wanted, encoded, runtime.batch_tokens, runtime.progress, description
        )

    def outcomes(self, encoded: Encoded, description: str, kept: Kept | None = None) -> Outcomes:
        """One forward pass over examples; what is predicted of them may be kept."""
        return outcomes(
            self.checkpoint.model,
            self.task,
            encoded,
            batch_tokens=self.runtime.batch_tokens,
            progress=self.runtime.progress,
            description=description,
            kept=kept,
        )


def open_session(
    model: Path,
    choice: DataChoice,
    runtime: Runtime,
    *,
    recorded: EncodingSettings | None = None,
    source: str = "",
    load: Load = load_checkpoint,
) -> Session:
    """Load a model and settle how examples are read and encoded.

    Args:
        model: Checkpoint folder.
        choice: What the caller asked for.
        runtime: Where to run.
        recorded: Settings of a statistics file. Default: those that the model's own record holds, if any.
        source: What a message calls the statistics file.
        load: Reads the checkpoint.

    Returns:
        The session.
    """
    config = read_config(model)
    find_family(config)  # refused before its weights are read
    if choice.task is not None:
        require_task(choice.task)
    dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16}[runtime.dtype]
    checkpoint = load(model, device=runtime.device, dtype=dtype)
    if checkpoint.adapter:
        kind, base = checkpoint.adapter.kind, checkpoint.adapter.base
        runtime.progress.note(f"{model} is an adapter ({kind}): it is merged into its base {base}")
    if recorded is None:
        recorded, source = recorded_settings(model), str(model / RECORD_NAME)
    merged = merge_choice(choice, recorded, source)
    task = find_task(checkpoint.model.config, merged.task)
    way = settle_way(checkpoint, task, merged)
    if recorded is not None:
        recorded.require_template(way.template, source)
    return Session(
        checkpoint=checkpoint,
        layout=find_layout(checkpoint.model),
        task=task,
        choice=replace(merged, task=task.name),
        max_length=way.max_length,
        doc_stride=way.doc_stride,
        template=way.template,
        runtime=runtime,
    )


@dataclass(frozen=True)
class Way:
    """How a model's examples are encoded; as of :class:`Session`."""

    max_length: int
    doc_stride: int | None
    template: str | None


def settle_way(checkpoint: Checkpoint, task: Task, choice: DataChoice) -> Way:
    """Settle how examples are encoded.

    Args:
        checkpoint: The model.
        task: Its task.
        choice: What was asked for or recorded.

    Returns:
        The way.

    Raises:
        InputError: It is not possible with this model.
    """
    longest = longest_input(checkpoint.model.config, checkpoint.tokenizer, choice.max_length)
    if task.name != QUESTION_ANSWERING:
        chat = task.name == CAUSAL_LM and choice.chat_template is not False
        return Way(longest, None, template_of(checkpoint.tokenizer, chat=chat))
    stride = default_stride(longest) if choice.doc_stride is None else choice.doc_stride
    if not 0 <= stride < longest:
        raise InputError(f"--doc-stride is {stride}, expected 0 … {longest - 1}: less than a window has")
    return Way(longest, stride, None)


def recorded_settings(model: Path) -> EncodingSettings | None:
    """The encoding settings that speu recorded in a checkpoint folder, if it wrote it."""
    record = read_record(model)
    return EncodingSettings.from_record(record["encoding"]) if record and "encoding" in record else None


def longest_input(config: PretrainedConfig, tokenizer: Processor, asked: int | None) -> int:
    """The longest input in tokens: as asked for, or what model and tokenizer can take, at most 512.

    Args:
        config: The model's configuration.
        tokenizer: Its tokenizer; with an image processor every input is as long.
        asked: What the caller wants. Default: the longest.

    Returns:
        The length.

    Raises:
        InputError: The model has too few positions for what was asked.
    """
    if not isinstance(tokenizer, PreTrainedTokenizerBase):
        tokens = tokens_of(config)
        if asked not in {None, tokens}:
            raise InputError(f"--max-length is {asked}, but an image has {tokens} tokens")
        return tokens
    positions: int = config.max_position_embeddings - find_family(config).reserved_positions
    if asked is None:
        return min(DEFAULT_MAX_LENGTH, positions, tokenizer.model_max_length)
    if not 1 <= asked <= positions:
        raise InputError(
            f"--max-length is {asked}, expected 1 … {positions}, the positions that the model has"
        )
    return asked
