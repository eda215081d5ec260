"""A pass over a sample of the remaining examples, with sums of one's own."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn
from transformers import PreTrainedModel

from speu_cli.progress import Progress
from speu_cli.statistics.check import check_dropout
from speu_cli.statistics.collector import Pass
from speu_cli.statistics.running import RunningSums
from speu_cli.statistics.wanted import Part, Wanted
from speu_cli.structures.layout import Layout
from speu_cli.structures.mask import Mask
from speu_cli.tasks.base import Task
from speu_cli.tasks.encoded import Encoded

MATRIX = 2


@dataclass(frozen=True)
class Sample:
    """Examples, and the model that sees them.

    Attributes:
        model: In eval mode, no parameter requiring gradients.
        layout: Its units.
        task: Gives the loss of each example.
        encoded: The examples.
        batch_tokens: Tokens in a padded batch.
        progress: Is told of every batch.
    """

    model: PreTrainedModel
    layout: Layout
    task: Task
    encoded: Encoded
    batch_tokens: int
    progress: Progress

    def add_to(self, sums: RunningSums, parts: Mapping[str, Part], description: str) -> None:
        """Add every example's gradients to sums.

        Args:
            sums: Are given the factors of each batch.
            parts: Of the parameters that are listened to.
            description: What the progress is called.
        """
        check_dropout(self.model)
        wanted = Wanted(parts, mask_statistics=False)
        args = (self.model, self.layout, self.task, self.encoded, wanted, self.batch_tokens, self.progress)
        run = Pass(*args)
        run.sums = sums
        with run.attached():
            run.go_through(description, None)


def matrix_slices(mask: Mask, model: nn.Module) -> dict[str, Part]:
    """The mask's slices of weights that are matrices: rows or columns of them.

    Args:
        mask: m.
        model: The model.

    Returns:
        By parameter; biases, and the experts' weights of three axes, are not among them.
    """
    return {
        name: Part(axes, indices)
        for name, axes, indices in mask.slices()
        if is_matrix(model.get_parameter(name)) and len(axes) == 1
    }


def is_matrix(parameter: nn.Parameter) -> bool:
    """Whether a parameter has rows and columns."""
    return parameter.ndim == MATRIX
