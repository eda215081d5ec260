"""GPT-2's Conv1D: a linear layer whose weight is stored the other way round, ``[in, out]``."""

from collections.abc import Mapping

from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from speu_cli.statistics.factors import Factor, Outer
from speu_cli.statistics.rules.bias import of_bias
from speu_cli.statistics.rules.registry import rule_of


@rule_of(Conv1D)
def conv1d(module: nn.Module, inputs: Tensor, deltas: Tensor, spans: Tensor) -> Mapping[str, Factor]:
    """Gradients of ``weight`` ``[in, out]`` and ``bias`` ``[out]``."""
    return {"weight": Outer(deltas, inputs, spans), "bias": of_bias(deltas, len(spans))}
