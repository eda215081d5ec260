"""Devices that this machine does not have: tensors that say that they are there, and do not mix."""

from collections.abc import Callable, Iterator
from itertools import cycle
from typing import Any

import torch
from accelerate.hooks import AlignDevicesHook, add_hook_to_module
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves
from transformers import PreTrainedModel

CPU = torch.device("cpu")
FIRST, SECOND = torch.device("mps", 0), torch.device("mps", 1)


def place_of(tensor: Tensor) -> torch.device:
    return getattr(tensor, "place", CPU)


class Elsewhere(TorchFunctionMode):
    """While it is entered, tensors can be on devices that are not there; the processor computes for them."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func == Tensor.device.__get__:
            return place_of(args[0])
        if func in {Tensor.register_hook, Tensor.register_post_accumulate_grad_hook}:
            return func(args[0], self._within(args[1], place_of(args[0])))
        if func in {Tensor.to, Tensor.cpu}:
            return _moved(func, *args, **kwargs)
        if func is torch.autograd.grad:
            return tuple(map(_put, func(*args, **kwargs), map(place_of, args[1])))
        place = kwargs.get("device") or _common_place(func, tree_leaves((args, kwargs)))
        result = func(*args, **(kwargs | ({"device": CPU} if "device" in kwargs else {})))
        for one in tree_leaves(result):
            if isinstance(one, Tensor):
                _put(one, torch.device(place))
        return result

    def _within(self, hook: Callable[[Tensor], Any], place: torch.device) -> Callable[[Tensor], Any]:
        def placed(tensor: Tensor) -> Any:
            with self:  # a backward pass is one function, within which this mode is off
                return hook(_put(tensor, place))

        return placed


def _put(tensor: Tensor, place: torch.device) -> Tensor:
    tensor.place = place
    return tensor


def _moved(func: Callable[..., Tensor], tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    place = CPU if func is Tensor.cpu else kwargs.pop("device", None)
    types = {}
    for one in args:
        if isinstance(one, torch.device | str):
            place = torch.device(one)
        elif isinstance(one, torch.dtype):
            types["dtype"] = one
        elif isinstance(one, Tensor):
            place, types["dtype"] = place_of(one), one.dtype
    types |= {name: value for name, value in kwargs.items() if name == "dtype"}
    moved = tensor.to(**types) if types else tensor
    if place is None or torch.device(place) == place_of(tensor):
        return _put(moved, place_of(tensor))
    return _put(moved.clone(), torch.device(place))


def _common_place(func: Callable[..., Any], leaves: list[Any]) -> torch.device:
    """Where a function's tensors are; numbers and places to look up may be on the processor all the same."""
    tensors = [one for one in leaves if isinstance(one, Tensor)]
    if func is Tensor.copy_:
        return place_of(tensors[0])
    places = {place_of(one) for one in tensors if one.ndim or place_of(one) != CPU}
    if func in {Tensor.__getitem__, Tensor.__setitem__}:
        places = {place_of(tensors[0])} | places - {CPU}
    if len(places) > 1:
        raise RuntimeError(f"{func.__name__}: got tensors on {sorted(map(str, places))}, expected one device")
    return places.pop() if places else CPU


def spread(model: PreTrainedModel) -> None:
    """Put a model's blocks on two devices in turn; as accelerate does, a block fetches what it is given."""
    for block, place in zip(_blocks(model, set(model._no_split_modules or ())), cycle([FIRST, SECOND])):
        for tensor in (*block.parameters(), *block.buffers()):
            _put(tensor, place)
        add_hook_to_module(block, _Fetching(place))


def _blocks(module: nn.Module, whole: set[str]) -> Iterator[nn.Module]:
    """The parts that accelerate leaves on one device."""
    if type(module).__name__ in whole or not list(module.children()):
        yield module
    else:
        for child in module.children():
            yield from _blocks(child, whole)


class _Fetching(AlignDevicesHook):
    def init_hook(self, module: nn.Module) -> nn.Module:
        return module  # its parameters are where they are said to be
