"""Which labels a data set has, and so which task and how many outputs a new model for it needs."""

from collections.abc import Sequence
from dataclasses import dataclass

from speu_cli.data.examples import Example
from speu_cli.errors import InputError
from speu_cli.tasks.classification import Classification
from speu_cli.tasks.regression import Regression

SHOWN_LABELS = 5
FEWEST_CLASSES = 2  # fewer leave nothing to tell apart


@dataclass(frozen=True)
class LabelSpace:
    """What a model's head has to offer.

    Attributes:
        task: Name of the task.
        outputs: How many outputs the head has.
        names: Names of the classes in order of their output; None: the data numbers its classes.
    """

    task: str
    outputs: int
    names: tuple[str, ...] | None = None


def find_label_space(
    examples: Sequence[Example], *, task: str | None = None, num_labels: int | None = None
) -> LabelSpace:
    """Tell from the labels what a new model for them looks like.

    Numbers of which any is written with a decimal point are regression targets, whole numbers are class
    numbers from 0, texts are class names; the names are sorted, so that their order does not depend on
    that of the rows.

    Args:
        examples: All of the data, so that a model trained on a part of it has the same outputs.
        task: Name of a task whose labels are classes or scores. Default: what the labels look like.
        num_labels: How many outputs. Default: as many as there are classes; 1 for regression.

    Returns:
        The label space.

    Raises:
        InputError: The labels are mixed, fit no task, or contradict ``task`` or ``num_labels``.
    """
    labels = {example.label for example in examples}
    names = sorted(label for label in labels if isinstance(label, str))
    numbers = sorted(label for label in labels if isinstance(label, int | float))
    if names and numbers:
        raise InputError(f"labels are both names and numbers, for example {names[0]!r} and {numbers[0]!r}")
    if task is None:
        task = Regression.name if any(isinstance(one, float) for one in numbers) else Classification.name
    if task == Regression.name:
        return _regression(names, num_labels)
    if names:
        return _named_classes(names, num_labels, task)
    return _numbered_classes(numbers, num_labels, task)


def _regression(names: Sequence[str], num_labels: int | None) -> LabelSpace:
    if names:
        raise InputError(f"label {names[0]!r} is a name, regression expects numbers")
    if num_labels not in (None, 1):
        raise InputError(f"number of labels: got {num_labels}, regression has 1 output")
    return LabelSpace(Regression.name, outputs=1)


def _named_classes(names: Sequence[str], num_labels: int | None, task: str) -> LabelSpace:
    if num_labels not in (None, len(names)):
        shown = ", ".join(names[:SHOWN_LABELS]) + (", …" if len(names) > SHOWN_LABELS else "")
        raise InputError(f"number of labels: got {num_labels}, the data has {len(names)}: {shown}")
    _require_several(len(names))
    return LabelSpace(task, outputs=len(names), names=tuple(names))


def _numbered_classes(numbers: Sequence[int | float], num_labels: int | None, task: str) -> LabelSpace:
    odd = next((one for one in numbers if one < 0 or one != int(one)), None)
    if odd is not None:
        raise InputError(
            f"label {odd!r} is not a class number, expected 0, 1, 2, …",
            hint="if the labels are scores, ask for --task regression",
        )
    outputs = num_labels or int(numbers[-1]) + 1
    if numbers[-1] >= outputs:
        raise InputError(
            f"label {numbers[-1]!r} is outside 0 … {outputs - 1}, the {outputs} labels asked for"
        )
    if num_labels is None and outputs != len(numbers):
        missing = next(one for one in range(outputs) if one not in numbers)
        raise InputError(
            f"labels go up to {outputs - 1}, but none is {missing}; expected every class number",
            hint=f"if that is right, say --num-labels {outputs}",
        )
    _require_several(outputs)
    return LabelSpace(task, outputs=outputs)


def _require_several(classes: int) -> None:
    if classes < FEWEST_CLASSES:
        raise InputError(f"the data has {classes} class, classification expects two or more")
