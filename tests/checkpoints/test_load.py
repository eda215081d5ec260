import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from speu_cli.checkpoints.load import check_device, load_checkpoint
from speu_cli.errors import ArtifactError, InputError, ResourceError
from tiny import FAMILIES, tiny_checkpoint, tiny_model
from tiny_encoder import tiny_encoder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny_checkpoint(tmp_path / "model")


def change_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def change_weights(folder: Path, **changes: torch.Tensor | None) -> None:
    """Replace tensors of the file; None removes one. Underscores twice stand for points."""
    path = folder / "model.safetensors"
    tensors = load_file(path)
    for name, tensor in changes.items():
        key = name.replace("__", ".")
        tensors.pop(key, None)
        if tensor is not None:
            tensors[key] = tensor
    save_file(tensors, path, metadata={"format": "pt"})


@pytest.mark.parametrize("family", FAMILIES)
def test_a_checkpoint_is_ready_to_compute(family: str, tmp_path: Path) -> None:
    loaded = load_checkpoint(tiny_checkpoint(tmp_path / "model", family))
    assert not loaded.model.training
    assert loaded.stored_dtype == torch.float32
    original = tiny_model(family)
    for name, parameter in loaded.model.named_parameters():
        assert not parameter.requires_grad
        assert torch.equal(parameter, original.get_parameter(name))


def test_half_precision_is_computed_in_single(tmp_path: Path) -> None:
    model = tiny_model("bert").to(torch.bfloat16)
    tiny_checkpoint(tmp_path / "model")
    model.save_pretrained(tmp_path / "model")
    loaded = load_checkpoint(tmp_path / "model")
    assert loaded.stored_dtype == torch.bfloat16
    for name, parameter in loaded.model.named_parameters():
        assert parameter.dtype == torch.float32
        assert torch.equal(parameter, model.get_parameter(name).float())


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"model folder not found: .*missing") as caught:
        load_checkpoint(tmp_path / "missing")
    assert "never downloaded" in str(caught.value.hint)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "pytorch_model-00001-of-00002.bin", "model.pt"])
def test_pickled_weights_are_refused_unread(name: str, folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    with pytest.raises(
        ArtifactError, match=f"pickled weights \\({name}\\), expected \\*.safetensors"
    ) as caught:
        load_checkpoint(folder)
    assert "save_pretrained" in str(caught.value.hint)


def test_the_command_of_the_hint_converts(tmp_path: Path, folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    torch.save(weights, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ArtifactError) as caught:
        load_checkpoint(folder)
    command = str(caught.value.hint).partition('"')[2].rpartition('"')[0]
    exec(command)  # noqa: S102 -- what the hint tells the user to run, on a pickle made above
    converted = tmp_path / "model-safetensors"
    for path in folder.glob("tokenizer*"):
        shutil.copy(path, converted)
    loaded = load_checkpoint(converted)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in loaded.model.named_parameters())


def test_no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(ArtifactError, match="holds no weights"):
        load_checkpoint(folder)


@pytest.mark.parametrize("content", [b"", b"abc", b"\xff" * 100])
def test_broken_weights(content: bytes, folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(ArtifactError, match="cannot load the weights"):
        load_checkpoint(folder)


def test_truncated_weights(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ArtifactError, match="cannot load the weights"):
        load_checkpoint(folder)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_without_a_trained_head(family: str, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"lacks weights for .*(classifier|score)") as caught:
        load_checkpoint(tiny_encoder(tmp_path / "base", family))
    assert "speu train" in str(caught.value.hint)


def test_one_missing_weight(folder: Path) -> None:
    change_weights(folder, classifier__bias=None)
    with pytest.raises(ArtifactError, match=r"lacks weights for classifier.bias"):
        load_checkpoint(folder)


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_of_a_layer_that_the_configuration_does_not_have(family: str, tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path / "model", family)
    change_config(folder, **{"n_layers" if family == "distilbert" else "num_hidden_layers": 1})
    with pytest.raises(ArtifactError, match=r"no place for .*layers?\.1"):
        load_checkpoint(folder)


def test_weights_of_another_head_may_be_left_out(folder: Path) -> None:
    other = {"cls__predictions__bias", "bert__embeddings__position_ids", "bert__pooler__more__weight"}
    change_weights(folder, **{name: torch.zeros(3) for name in other})
    assert load_checkpoint(folder).model.num_labels


def test_a_weight_of_another_shape(folder: Path) -> None:
    change_weights(folder, classifier__bias=torch.zeros(3))
    with pytest.raises(
        ArtifactError, match=r"'classifier.bias' .* has shape \[3\], its config.json says \[2\]"
    ):
        load_checkpoint(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers(value: float, folder: Path) -> None:
    change_weights(folder, classifier__bias=torch.tensor([0.0, value]))
    with pytest.raises(ArtifactError, match=r"weight 'classifier.bias' .* holds NaN or infinity"):
        load_checkpoint(folder)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "3", "null", "[" * 100_000, '{"model_type": "nonsense"}', "{}", '"\udcff"']
)
def test_config_that_is_none(content: str, folder: Path) -> None:
    (folder / "config.json").write_text(content, errors="surrogateescape")
    with pytest.raises(ArtifactError, match=r"has no readable config.json"):
        load_checkpoint(folder)


def test_no_config(folder: Path) -> None:
    (folder / "config.json").unlink()
    with pytest.raises(ArtifactError, match=r"has no readable config.json: .*No such file"):
        load_checkpoint(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"num_attention_heads": "four"},
        {"num_attention_heads": 0},
        {"num_attention_heads": 3},
        {"hidden_size": -1},
        {"hidden_act": "nonsense"},
        {"hidden_dropout_prob": "a"},
        {"id2label": [1, 2]},
        {"num_labels": "x"},
        {"dtype": "nonsense"},
        {"dtype": 7},
        {"model_type": 3},
        {"pad_token_id": 500},
        {"vocab_size": 10},
        {"num_hidden_layers": 3},
    ],
    ids=lambda changes: "-".join(f"{key}={value}" for key, value in changes.items()),
)
def test_config_with_nonsense_in_it(changes: dict[str, Any], folder: Path) -> None:
    change_config(folder, **changes)
    with pytest.raises(ArtifactError) as caught:
        load_checkpoint(folder)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_code_of_its_own_is_never_run(folder: Path, tmp_path: Path) -> None:
    proof = tmp_path / "proof"
    (folder / "own.py").write_text(f"open({str(proof)!r}, 'w')")
    change_config(folder, auto_map={"AutoConfig": "own.Config", "AutoModel": "own.Model"})
    with pytest.raises(ArtifactError, match="asks for code of its own"):
        load_checkpoint(folder)
    assert not proof.exists()


@pytest.mark.parametrize("pattern", ["tokenizer*", "tokenizer.json"])
@pytest.mark.parametrize("family", FAMILIES)
def test_no_tokenizer(family: str, pattern: str, tmp_path: Path) -> None:
    """The library would make up one to which every word is unknown."""
    folder = tiny_checkpoint(tmp_path / "model", family)
    for path in folder.glob(pattern):
        path.unlink()
    with pytest.raises(ArtifactError, match="tokenizer"):
        load_checkpoint(folder)


@pytest.mark.parametrize("content", ["{}", "[" * 100_000, "", "3"])
def test_broken_tokenizer(content: str, folder: Path) -> None:
    (folder / "tokenizer.json").write_text(content)
    with pytest.raises(ArtifactError, match="cannot load the tokenizer"):
        load_checkpoint(folder)


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "", "cuda:-1", "CPU"])
def test_no_such_device(device: str) -> None:
    with pytest.raises(InputError, match="expected cpu, cuda"):
        check_device(device)


@pytest.mark.parametrize("device", ["cuda:99", "cpu:1"])
def test_device_that_this_machine_has_not(device: str) -> None:
    with pytest.raises(ResourceError, match="not available"):
        check_device(device)
