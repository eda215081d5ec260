"""``speu train``: fine-tune the original model, or the reference that is retrained without some examples."""

import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import transformers
from transformers import PretrainedConfig

from speu_cli.artifacts.digest import canonical_json, hash_text
from speu_cli.artifacts.format import FORMAT_VERSION, library_versions
from speu_cli.checkpoints.base import Base, Head, load_base
from speu_cli.checkpoints.heads import SEQUENCE, head_of
from speu_cli.checkpoints.load import read_config
from speu_cli.checkpoints.write import check_checkpoint_output, write_checkpoint
from speu_cli.data.columns import CAUSAL_LM, QUESTION_ANSWERING, DataChoice
from speu_cli.data.examples import Examples
from speu_cli.data.ids import read_ids
from speu_cli.data.selection import select_training
from speu_cli.data.sources.load import load_examples
from speu_cli.errors import InputError
from speu_cli.stages.runtime import Runtime, require_first_device
from speu_cli.stages.session import settle_way
from speu_cli.tasks.encoding import encode
from speu_cli.tasks.label_space import find_label_space
from speu_cli.tasks.outcomes import losses
from speu_cli.tasks.question_answering import TERMS
from speu_cli.tasks.registry import HEADS, TASKS, find_task, require_task
from speu_cli.tasks.settings import EncodingSettings, settings_of
from speu_cli.unlearning.training import Schedule, TrainingSettings, fine_tune


@dataclass(frozen=True)
class TrainResult:
    """What was trained.

    Attributes:
        output: The checkpoint folder.
        task: Name of the task.
        labels: Number of the model's outputs.
        examples: Trained on.
        excluded: Left out.
        epochs: Passes over the examples.
        steps: Of the optimiser.
        mean_loss: Of the examples trained on, under the finished model.
        seconds: Time of the training.
    """

    output: Path
    task: str
    labels: int
    examples: int
    excluded: int
    epochs: float
    steps: int
    mean_loss: float
    seconds: float


def train(
    base: Path,
    data: str,
    output: Path,
    *,
    exclude: str | None = None,
    epochs: float = 5,
    learning_rate: float = 5e-5,
    batch_size: int = 32,
    weight_decay: float = 0.0,
    schedule: Schedule = "linear",
    num_labels: int | None = None,
    seed: int = 0,
    choice: DataChoice | None = None,
    runtime: Runtime | None = None,
) -> TrainResult:
    """Fine-tune a model; with ``exclude`` from the same start, the reference that unlearning aims at.

    Args:
        base: Folder of a pretrained encoder, which gets a new head, or of a model to train further; for
            causal language modelling, of a whole language model.
        data: The training set.
        output: Checkpoint folder to write.
        exclude: Id list: these examples are left out. They still count when the labels are looked for, so
            that both models have the same outputs.
        epochs: Passes over the examples.
        learning_rate: Of AdamW.
        batch_size: Examples in one step.
        weight_decay: Of AdamW.
        schedule: The learning rate falls linearly to zero, or stays.
        num_labels: Outputs of a classifier. Default: as many as the data has classes, 1 for regression.
        seed: Of a new head, the order of the examples and dropout.
        choice: Columns, split, task and length, where they should not be found. The default task is that of
            the base's head; of one for sequences, or of none, what the labels look like.
        runtime: Device and progress.

    Returns:
        What was trained.

    Raises:
        InputError: A setting is out of range.
    """
    choice, runtime = choice or DataChoice(), runtime or Runtime()
    settings = TrainingSettings(epochs, learning_rate, batch_size, weight_decay, seed, schedule)
    if epochs <= 0 or learning_rate <= 0 or batch_size < 1 or weight_decay < 0:
        raise InputError(f"training settings are out of range: {settings}")
    require_first_device(runtime.device)
    check_checkpoint_output(output, force=runtime.force, inputs=(base, data, exclude))
    left_out = read_ids(exclude) if exclude else []
    config = read_config(base)
    choice = replace(choice, task=_task_name(config, choice.task))
    everything = load_examples(data, choice)
    training = select_training(everything, ids=None, exclude=left_out)

    head = _head(everything, choice, num_labels, config)
    start = load_base(base, head.head, seed=seed, device=runtime.device)
    checkpoint, task = start.checkpoint, TASKS[head.task]
    model = checkpoint.model
    way = settle_way(checkpoint, task, choice)
    chat = way.template is not None
    encoded = encode(training, checkpoint.tokenizer, task, model, way.max_length, way.doc_stride, chat)

    started = time.perf_counter()
    steps = fine_tune(model, task, encoded, settings, device=runtime.device, progress=runtime.progress)
    seconds = time.perf_counter() - started
    after = losses(model, task, encoded, batch_tokens=runtime.batch_tokens, progress=runtime.progress)
    mean_loss = float(after.mean())
    encoding = settings_of(training, task.name, way.max_length, way.doc_stride, way.template)
    record = _record(start, encoding, training, left_out, settings, mean_loss)
    # The folder's other files come from the base, but its configuration has another head.
    write_checkpoint(checkpoint, output, record, force=runtime.force, extra=model.config.save_pretrained)
    return TrainResult(
        output=output,
        task=task.name,
        labels=head.head.outputs,
        examples=len(training),
        excluded=len(left_out),
        epochs=epochs,
        steps=steps,
        mean_loss=mean_loss,
        seconds=seconds,
    )


@dataclass(frozen=True)
class _Wanted:
    """A task, and the head that it needs."""

    task: str
    head: Head


def _task_name(config: PretrainedConfig, asked: str | None) -> str | None:
    """The task: as asked for, or that of the base's head; None: the labels tell."""
    if asked is not None:
        require_task(asked)
        return asked
    head = head_of(config)
    return None if head in {None, SEQUENCE} else find_task(config).name


def _head(
    everything: Examples, choice: DataChoice, num_labels: int | None, config: PretrainedConfig
) -> _Wanted:
    """What a model for some data has to answer.

    Args:
        everything: All of the data, so that a model trained on a part of it has the same outputs.
        choice: Says the task, if anything does.
        num_labels: How many classes, if that was asked for.
        config: Of the base.

    Returns:
        The task and its head.

    Raises:
        InputError: The number of labels was asked for, but the task has none.
    """
    outputs = {QUESTION_ANSWERING: TERMS, CAUSAL_LM: config.vocab_size if choice.task == CAUSAL_LM else 0}
    if choice.task in outputs:
        if num_labels is not None:
            raise InputError(f"number of labels: got {num_labels}, but the task {choice.task} has no labels")
        return _Wanted(choice.task, Head(outputs[choice.task], kind=HEADS[choice.task]))
    space = find_label_space(everything, task=choice.task, num_labels=num_labels)
    return _Wanted(space.task, Head(space.outputs, space.names, HEADS[space.task]))


def _record(
    start: Base,
    encoding: EncodingSettings,
    training: Examples,
    left_out: list[str],
    settings: TrainingSettings,
    mean_loss: float,
) -> dict[str, Any]:
    return {
        "format": "speu",
        "version": FORMAT_VERSION,
        "kind": "training",
        "base": asdict(start.identity) | {"new_parameters": list(start.new)},
        "encoding": encoding.to_record(),
        "data": {"examples": len(training), "ids_sha256": _hash_ids(training.ids)},
        "excluded": {"examples": len(left_out), "ids_sha256": _hash_ids(left_out)},
        "training": asdict(settings) | {"optimizer": "AdamW"},
        "mean_loss": mean_loss,
        "versions": library_versions() | {"transformers": transformers.__version__},
    }


def _hash_ids(ids: list[str]) -> str:
    """SHA-256 of a set of ids, whatever their order."""
    return hash_text(canonical_json(sorted(ids)))
