"""The tasks that speu knows; a new one is one file and one line here."""

from transformers import PretrainedConfig

from speu_cli.errors import ArtifactError, InputError
from speu_cli.tasks.base import Task
from speu_cli.tasks.classification import Classification
from speu_cli.tasks.regression import Regression

TASKS: dict[str, Task] = {task.name: task for task in (Classification(), Regression())}


def find_task(config: PretrainedConfig, name: str | None = None) -> Task:
    """The task of a model: as named, or as its configuration says.

    Args:
        config: The model's configuration.
        name: Name of a task. Default: one output is regression, several are classification.

    Returns:
        The task.

    Raises:
        InputError: No task has that name, or it does not fit the number of outputs.
        ArtifactError: The model's task is not supported.
    """
    if config.problem_type == "multi_label_classification":
        raise ArtifactError(f"the model is for multi-label classification, supported are {', '.join(TASKS)}")
    fitting = Regression.name if config.num_labels == 1 else Classification.name
    if name is None:
        return TASKS[fitting]
    if name not in TASKS:
        raise InputError(f"no task '{name}', expected one of {', '.join(TASKS)}")
    if name != fitting:
        raise InputError(
            f"task '{name}' does not fit a model with {config.num_labels} outputs, which is {fitting}"
        )
    return TASKS[name]
