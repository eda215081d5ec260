"""The tasks that speu knows; a new one is one file and one line here."""

from transformers import PretrainedConfig

from speu_cli.checkpoints.heads import ANSWERING, IMAGES, MODELLING, SEQUENCE, HeadKind, head_of
from speu_cli.errors import ArtifactError, InputError
from speu_cli.tasks.base import Task
from speu_cli.tasks.causal_lm import CausalLanguageModelling
from speu_cli.tasks.classification import Classification
from speu_cli.tasks.image_classification import ImageClassification
from speu_cli.tasks.question_answering import QuestionAnswering
from speu_cli.tasks.regression import Regression

TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Classification(),
        Regression(),
        QuestionAnswering(),
        CausalLanguageModelling(),
        ImageClassification(),
    )
}
# The head that a task needs.
HEADS: dict[str, HeadKind] = {
    Classification.name: SEQUENCE,
    Regression.name: SEQUENCE,
    QuestionAnswering.name: ANSWERING,
    CausalLanguageModelling.name: MODELLING,
    ImageClassification.name: IMAGES,
}


def find_task(config: PretrainedConfig, name: str | None = None) -> Task:
    """The task of a model: as named, or as its configuration says.

    Args:
        config: The model's configuration.
        name: Name of a task. Default: that of the head; of a head for sequences with one output regression,
            with several classification.

    Returns:
        The task.

    Raises:
        InputError: No task has that name, or it does not fit the model.
        ArtifactError: The model's task is not supported.
    """
    if config.problem_type == "multi_label_classification":
        raise ArtifactError(f"the model is for multi-label classification, supported are {', '.join(TASKS)}")
    head = head_of(config)
    if head is MODELLING and getattr(config, "is_decoder", True) is False:
        raise ArtifactError(
            f"the model is a {config.model_type} encoder, which sees the tokens that it is to predict",
            hint="a decoder of this family has is_decoder in its config.json",
        )
    of_sequences = Regression.name if config.num_labels == 1 else Classification.name
    others = (one for one, kind in HEADS.items() if kind is head and head is not SEQUENCE)
    fitting = next(others, of_sequences)
    if name is None:
        return TASKS[fitting]
    require_task(name)
    if name != fitting and (head is not None or HEADS[name] is SEQUENCE):
        what = head.name if head is not None and head is not SEQUENCE else f"{config.num_labels} outputs"
        raise InputError(f"task '{name}' does not fit a model with {what}, which is {fitting}")
    return TASKS[name]


def require_task(name: str) -> None:
    """Refuse the name of no task.

    Args:
        name: What was asked for.

    Raises:
        InputError: No task has that name.
    """
    if name not in TASKS:
        raise InputError(f"no task '{name}', expected one of {', '.join(TASKS)}")
