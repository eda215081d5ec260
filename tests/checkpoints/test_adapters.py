"""Checkpoints that hold changes of a base model."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import IA3Config, LoraConfig, PeftConfig, PromptTuningConfig, get_peft_model
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoModelForSequenceClassification

import speu_cli
from laws import Notes
from memorised import Home, memorised
from speu_cli.checkpoints.base import Head, load_base
from speu_cli.checkpoints.load import load_checkpoint
from speu_cli.errors import ArtifactError, InputError
from speu_cli.stages.runtime import Runtime
from tiny import tiny_tokenizer

TARGETS = {"bert": ["query", "value"], "llama": ["q_proj", "down_proj"]}
HEADS = {"bert": "classifier", "llama": "score"}


def adapted(home: Home, config: PeftConfig | None = None, outputs: int | None = None) -> Path:
    """An adapter with random content beside its base; with ``outputs`` it holds a new head with so many."""
    base = AutoModelForSequenceClassification.from_pretrained(
        home.model, num_labels=outputs or home.outputs, ignore_mismatched_sizes=True
    )
    saved = [HEADS[home.family]] if outputs else None
    config = config or LoraConfig(r=2, target_modules=TARGETS[home.family], modules_to_save=saved)
    model = get_peft_model(base, config)
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name or "ia3" in name:
                parameter.add_(0.05 * torch.randn(parameter.shape, generator=draw))
    folder = home.folder / "adapter"
    model.save_pretrained(folder)
    return folder


def merged_by_hand(home: Home, folder: Path, family: str) -> dict[str, torch.Tensor]:
    """W + (α/r)·B·A of each target."""
    base, adapter = (
        load_file(home.model / "model.safetensors"),
        load_file(folder / "adapter_model.safetensors"),
    )
    scale = json.loads((folder / "adapter_config.json").read_text())["lora_alpha"] / 2
    for name, a in adapter.items():
        if "lora_A" in name:
            b, target = adapter[name.replace("lora_A", "lora_B")], name.replace("lora_A.", "")
            weight = target.removeprefix("base_model.model.")
            base[weight] = base[weight] + scale * b @ a
    return base


@pytest.mark.parametrize("family", TARGETS)
def test_it_is_merged_into_its_base(family: str, tmp_path: Path) -> None:
    home = memorised(tmp_path / "home", family)
    folder = adapted(home)
    found = dict(load_checkpoint(folder).model.named_parameters())
    expected = merged_by_hand(home, folder, family)
    original = load_file(home.model / "model.safetensors")
    assert found.keys() == expected.keys()
    for name, parameter in found.items():
        assert torch.allclose(parameter, expected[name], atol=1e-6)
    assert sum(not torch.equal(found[name], original[name]) for name in found) == 4


@pytest.mark.parametrize("family", TARGETS)
def test_all_stages_and_a_whole_checkpoint_that_comes_of_them(family: str, tmp_path: Path) -> None:
    home, told = memorised(tmp_path / "home", family), Notes()
    folder, fisher, output = adapted(home), home.folder / "fisher", home.folder / "new"
    train, runtime = home.path("train.jsonl"), Runtime(progress=told)
    speu_cli.fisher(folder, train, fisher, runtime=runtime)
    assert any("is an adapter (LORA): it is merged into its base" in note for note in told.notes)
    done = speu_cli.unlearn(
        folder, fisher, train, home.path("ids.txt"), output, rate=1e-5, target_loss=1.0, max_overshoot=1e9
    )
    assert done.parameters_changed
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {path.name for path in output.iterdir()}
    assert not list(output.glob("adapter_*"))
    before, after = load_checkpoint(folder), load_checkpoint(output)
    assert type(before.model) is type(after.model)
    assert dict(before.model.named_parameters()).keys() == dict(after.model.named_parameters()).keys()


def test_a_head_that_the_adapter_holds(tmp_path: Path) -> None:
    home = memorised(tmp_path / "home")
    folder = adapted(home, outputs=3)
    checkpoint = load_checkpoint(folder)
    assert checkpoint.model.config.num_labels == 3
    saved = load_file(folder / "adapter_model.safetensors")["base_model.model.classifier.weight"]
    assert torch.equal(checkpoint.model.get_parameter("classifier.weight"), saved)


def test_a_tokenizer_of_its_own(tmp_path: Path) -> None:
    home = memorised(tmp_path / "home")
    folder = adapted(home)
    assert load_checkpoint(folder).tokenizer.model_max_length == 32
    tokenizer = tiny_tokenizer("bert")
    tokenizer.model_max_length = 20
    tokenizer.save_pretrained(folder)
    assert load_checkpoint(folder).tokenizer.model_max_length == 20


@pytest.mark.parametrize(
    "config",
    [
        LoraConfig(r=2, target_modules=["query"], use_dora=True),
        IA3Config(target_modules=["query", "output.dense"], feedforward_modules=["output.dense"]),
    ],
)
def test_other_kinds_are_merged_too(config: PeftConfig, tmp_path: Path) -> None:
    home = memorised(tmp_path / "home")
    folder = adapted(home, config)
    base = AutoModelForSequenceClassification.from_pretrained(home.model)
    inputs = tiny_tokenizer("bert")(["word1 word2"], return_tensors="pt")
    from peft import PeftModel

    expected = PeftModel.from_pretrained(base, folder).eval()(**inputs).logits
    assert torch.allclose(load_checkpoint(folder).model(**inputs).logits, expected, atol=1e-5)


def test_prompts_have_no_weights_to_merge(tmp_path: Path) -> None:
    home = memorised(tmp_path / "home")
    folder = adapted(home, PromptTuningConfig(task_type="SEQ_CLS", num_virtual_tokens=2))
    with pytest.raises(ArtifactError, match="of kind PROMPT_TUNING, which adds inputs and no weights"):
        load_checkpoint(folder)


def rewritten(folder: Path, **fields: Any) -> Path:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    return folder


def test_a_base_that_is_not_here(tmp_path: Path) -> None:
    home = memorised(tmp_path / "home")
    folder = rewritten(adapted(home), base_model_name_or_path="google/electra-base")
    with pytest.raises(
        InputError, match=r"is an adapter of 'google/electra-base', which is no folder"
    ) as told:
        load_checkpoint(folder)
    assert "never downloaded" in str(told.value.hint)
    assert load_checkpoint(rewritten(folder, base_model_name_or_path="../model")).adapter is not None


def test_adapters_that_are_broken(tmp_path: Path) -> None:
    home = memorised(tmp_path / "home")
    folder = adapted(home)
    weights = folder / "adapter_model.safetensors"
    tensors = load_file(weights)
    save_file(dict(list(tensors.items())[1:]), weights)
    with pytest.raises(ArtifactError, match=r"does not fit its base .*: it lacks"):
        load_checkpoint(folder)
    weights.write_bytes(b"no tensors")
    with pytest.raises(ArtifactError, match=r"adapter_model.safetensors cannot be read"):
        load_checkpoint(folder)
    weights.rename(folder / "adapter_model.bin")
    with pytest.raises(ArtifactError, match=r"holds a pickled adapter, expected adapter_model.safetensors"):
        load_checkpoint(folder)
    (folder / "adapter_config.json").write_text("[]")
    with pytest.raises(ArtifactError, match="is no configuration of an adapter"):
        load_checkpoint(folder)


def test_training_does_not_start_from_an_adapter(tmp_path: Path) -> None:
    folder = adapted(memorised(tmp_path / "home"))
    with pytest.raises(InputError, match="holds an adapter, expected a whole model"):
        load_base(folder, Head(2), seed=0)


def test_without_peft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = adapted(memorised(tmp_path / "home"))
    monkeypatch.setitem(__import__("sys").modules, "peft", None)
    with pytest.raises(InputError, match="peft, which merges adapters, is not installed") as told:
        load_checkpoint(folder)
    assert told.value.hint == "pip install 'speu[lora]'"


def test_nothing_of_the_adapter_is_left_in_the_model(tmp_path: Path) -> None:
    model = load_checkpoint(adapted(memorised(tmp_path / "home"))).model
    assert {type(module).__module__.partition(".")[0] for module in model.modules()} == {
        "torch",
        "transformers",
    }
    assert isinstance(model.get_submodule("bert.encoder.layer.0.attention.self.query"), nn.Linear)
