"""SHA-256 of tensors and of JSON values, equal on every machine."""

import hashlib
import json
from collections.abc import Mapping

import torch
from torch import Tensor


def canonical_json(value: object) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def hash_text(text: str) -> str:
    """SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def hash_tensors(
    tensors: Mapping[str, Tensor], *, preamble: str = "", dtype: torch.dtype | None = None
) -> str:
    """SHA-256 over a preamble and (name, type, shape, bytes) of tensors in order of name.

    Args:
        tensors: By name.
        preamble: Is hashed before them.
        dtype: Type to hash them in, one converted at a time. Default: their own.

    Returns:
        The digest, hexadecimal.
    """
    digest = hashlib.sha256(preamble.encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().to(dtype).contiguous().cpu()
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        if tensor.numel():  # an empty tensor has no stride by which to view it as bytes
            digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
