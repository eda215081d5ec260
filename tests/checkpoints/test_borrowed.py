import pytest
import torch
from tiny_tasks import modelling

from speu_cli.checkpoints.borrowed import borrowed


@pytest.mark.parametrize("tied", [False, True])
def test_weights_come_back_bit_for_bit(tied: bool) -> None:
    model = modelling(tied=tied)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with borrowed(model), torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.1).add_(torch.nan)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_weights_come_back_after_a_failure() -> None:
    model = modelling()
    before = {name: value.clone() for name, value in model.named_parameters()}
    with pytest.raises(KeyboardInterrupt), borrowed(model), torch.no_grad():
        next(model.parameters()).zero_()
        raise KeyboardInterrupt
    assert all(torch.equal(value, before[name]) for name, value in model.named_parameters())
