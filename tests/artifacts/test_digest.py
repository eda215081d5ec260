import hashlib

import torch

from speu_cli.artifacts.digest import canonical_json, hash_tensors


def test_the_digest_is_what_the_documentation_says() -> None:
    tensors = {"b": torch.tensor([[1.0, 2.0]]), "a": torch.tensor([-1]), "none": torch.zeros(0)}
    written = (
        b"{}a torch.int64 [1]\n"
        + bytes([255] * 8)
        + b"b torch.float32 [1, 2]\n"
        + bytes([0, 0, 128, 63, 0, 0, 0, 64])
        + b"none torch.float32 [0]\n"
    )
    assert hash_tensors(tensors, preamble=canonical_json({})) == hashlib.sha256(written).hexdigest()


def test_a_strided_tensor_has_the_digest_of_its_copy() -> None:
    tensor = torch.arange(12.0).reshape(3, 4).T
    assert hash_tensors({"x": tensor}) == hash_tensors({"x": tensor.contiguous()})
