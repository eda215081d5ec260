"""Tiny models and data, made on the spot: no test needs a download or a file of someone else's."""

import json
import random
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import (
    AutoModelForImageClassification,
    AutoModelForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    LlamaConfig,
    LlamaForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from tiny_families import MORE

FAMILIES = ("bert", "roberta", "distilbert", "llama")
# Every one that there is a table of: tests that are not fast go through the four above.
ALL_FAMILIES = (*FAMILIES, *MORE)
SPECIAL = ["[CLS]", "[PAD]", "[SEP]", "[UNK]"]
WORDS = [f"word{number}" for number in range(60)]


def tiny_model(family: str, *, outputs: int = 2, layers: int = 2, seed: int = 0) -> PreTrainedModel:
    """A random model, 2 layers of 4 heads of 4 and 24 filters, in eval mode.

    Llama's heads share 2 key and value heads, and have 6 features: not the hidden size over the heads.
    """
    torch.manual_seed(seed)
    common: dict[str, Any] = {
        "vocab_size": len(SPECIAL) + len(WORDS),
        "pad_token_id": 1,
        "num_labels": outputs,
    }
    sizes: dict[str, Any] = {
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "hidden_size": 16,
        "intermediate_size": 24,
        "max_position_embeddings": 40,
    }
    models = {
        "bert": lambda: BertForSequenceClassification(BertConfig(**common, **sizes)),
        "roberta": lambda: RobertaForSequenceClassification(
            RobertaConfig(**common, **sizes, type_vocab_size=1)
        ),
        "distilbert": lambda: DistilBertForSequenceClassification(
            DistilBertConfig(
                **common, n_layers=layers, n_heads=4, dim=16, hidden_dim=24, max_position_embeddings=40
            )
        ),
        "llama": lambda: LlamaForSequenceClassification(
            LlamaConfig(
                **common,
                **sizes,
                num_key_value_heads=2,
                head_dim=6,
                bos_token_id=0,
                eos_token_id=2,
                use_cache=False,
            )
        ),
    }
    auto = AutoModelForImageClassification if family == "vit" else AutoModelForSequenceClassification
    more = {name: partial(auto.from_config, MORE[name](**common, **sizes)) for name in MORE if name == family}
    model: PreTrainedModel = (models | more)[family]()
    # As initialised the weights are so small that all examples look alike.
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1 and "embed" not in name:
                parameter.mul_(12.0)
    if any(".experts." in name for name, _ in model.named_parameters()):
        model.set_experts_implementation("eager")  # the other knows no float64
    return model.eval().requires_grad_(False)


def tiny_tokenizer(family: str) -> PreTrainedTokenizerFast:
    """One token a word."""
    words = Tokenizer(WordLevel({word: i for i, word in enumerate(SPECIAL + WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = Whitespace()
    words.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 0), ("[SEP]", 2)],
    )
    names = (
        ["input_ids", "token_type_ids", "attention_mask"]
        if family == "bert"
        else ["input_ids", "attention_mask"]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        cls_token="[CLS]",
        pad_token="[PAD]",
        sep_token="[SEP]",
        unk_token="[UNK]",
        model_input_names=names,
        model_max_length=32,
    )


def tiny_checkpoint(folder: Path, family: str = "bert", *, outputs: int = 2, seed: int = 0) -> Path:
    """A checkpoint folder of a random model."""
    tiny_model(family, outputs=outputs, seed=seed).save_pretrained(folder)
    tiny_tokenizer(family).save_pretrained(folder)
    return folder


def tiny_rows(count: int, *, seed: int = 0, outputs: int = 2, pairs: bool = False) -> list[dict[str, Any]]:
    """Rows of 1 to 9 random words with random labels; scores in 0 … 5 for one output."""
    draw = random.Random(seed)

    def text() -> str:
        return " ".join(draw.choices(WORDS, k=draw.randint(1, 9)))

    return [
        {"id": f"row-{seed}-{number}", "text": text()}
        | ({"text_pair": text()} if pairs else {})
        | {"label": draw.randrange(outputs) if outputs > 1 else round(draw.uniform(0, 5), 2)}
        for number in range(count)
    ]


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write rows as JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_ids(path: Path, ids: list[str]) -> Path:
    """Write an id list, one a line."""
    path.write_text("".join(f"{one}\n" for one in ids))
    return path
