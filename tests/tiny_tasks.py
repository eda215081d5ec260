"""Tiny models and data of the tasks that are not one text and one label."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from transformers import (
    BertConfig,
    BertForQuestionAnswering,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForQuestionAnswering,
    PreTrainedModel,
    RobertaConfig,
    RobertaForQuestionAnswering,
    ViTConfig,
    ViTForImageClassification,
    ViTImageProcessorPil,
)

from tiny import SPECIAL, WORDS, tiny_tokenizer, write_rows

SIZES: dict[str, Any] = {
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "hidden_size": 16,
    "intermediate_size": 24,
}
TEXT_SIZES: dict[str, Any] = {
    **SIZES,
    "vocab_size": len(SPECIAL) + len(WORDS),
    "max_position_embeddings": 40,
    "pad_token_id": 1,
}
CLASSES = ("apple", "fig", "pear")
PIXELS = 8
TEMPLATE = (
    "{% for message in messages %}word1 {{ message['content'] }} "
    "{% if message['role'] == 'assistant' %}[SEP]{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}word1 {% endif %}"
)


def answering(family: str = "bert", *, seed: int = 0) -> PreTrainedModel:
    """A random model for question answering."""
    models = {
        "bert": lambda: BertForQuestionAnswering(BertConfig(**TEXT_SIZES)),
        "roberta": lambda: RobertaForQuestionAnswering(RobertaConfig(**TEXT_SIZES, type_vocab_size=1)),
        "llama": lambda: LlamaForQuestionAnswering(
            LlamaConfig(**TEXT_SIZES, num_key_value_heads=2, head_dim=6, use_cache=False)
        ),
    }
    return _lively(models[family], seed)


def modelling(*, seed: int = 0, tied: bool = False) -> PreTrainedModel:
    """A random Llama for language modelling."""
    config = LlamaConfig(
        **TEXT_SIZES,
        num_key_value_heads=2,
        head_dim=6,
        bos_token_id=0,
        eos_token_id=2,
        use_cache=False,
        tie_word_embeddings=tied,
    )
    return _lively(lambda: LlamaForCausalLM(config), seed)


def seeing(*, seed: int = 0) -> PreTrainedModel:
    """A random ViT for three classes of images of 8 × 8 pixels in 4 patches."""
    names = dict(enumerate(CLASSES))
    config = ViTConfig(
        **SIZES,
        image_size=PIXELS,
        patch_size=4,
        id2label=names,
        label2id={name: number for number, name in names.items()},
    )
    return _lively(lambda: ViTForImageClassification(config), seed)


def _lively(build: Callable[[], PreTrainedModel], seed: int) -> PreTrainedModel:
    torch.manual_seed(seed)
    model = build()
    # As initialised the weights are so small that all examples look alike.
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 2 and "embed" not in name:
                parameter.mul_(12.0)
    return model.eval().requires_grad_(False)


def image_processor() -> ViTImageProcessorPil:
    """Scales to 8 × 8 pixels."""
    return ViTImageProcessorPil(size={"height": PIXELS, "width": PIXELS})


def save(folder: Path, model: PreTrainedModel) -> Path:
    """A checkpoint folder with the tokenizer or image processor that belongs to the model."""
    model.save_pretrained(folder)
    family = model.config.model_type
    (image_processor() if family == "vit" else tiny_tokenizer(family)).save_pretrained(folder)
    return folder


def questions(
    count: int, *, seed: int = 0, longest: int = 40, unanswerable: bool = True
) -> list[dict[str, Any]]:
    """Questions of 1 to 4 words on contexts of 4 to ``longest`` words; every third may have no answer."""
    draw = random.Random(seed)
    rows = []
    for number in range(count):
        words = draw.choices(WORDS, k=draw.randint(4, longest))
        first = draw.randrange(len(words) - 2)
        start, text = len(" ".join([*words[:first], ""])), " ".join(words[first : first + draw.randint(1, 3)])
        answers = {"text": [text], "answer_start": [start]}
        if unanswerable and number % 3 == 2:
            answers = {"text": [], "answer_start": []}
        rows.append(
            {
                "id": f"q-{seed}-{number}",
                "question": " ".join(draw.choices(WORDS, k=draw.randint(1, 4))),
                "context": " ".join(words),
                "answers": answers,
            }
        )
    return rows


def prompts(count: int, *, seed: int = 0) -> list[dict[str, Any]]:
    """Questions of 2 to 6 words with answers of 1 to 8."""
    draw = random.Random(seed)
    return [
        {
            "id": f"p-{seed}-{number}",
            "question": " ".join(draw.choices(WORDS, k=draw.randint(2, 6))),
            "answer": " ".join(draw.choices(WORDS, k=draw.randint(1, 8))),
        }
        for number in range(count)
    ]


def pictures(folder: Path, count: int, *, seed: int = 0) -> Path:
    """A folder for each class, of images of random pixels and sizes."""
    draw = random.Random(seed)
    for number in range(count):
        place = folder / CLASSES[number % len(CLASSES)]
        place.mkdir(parents=True, exist_ok=True)
        width, height = draw.randint(4, 12), draw.randint(4, 12)
        image = Image.frombytes("RGB", (width, height), draw.randbytes(3 * width * height))
        image.save(place / f"{number}.png")
    return folder


def write_questions(path: Path, count: int, **settings: Any) -> str:
    """A file of them."""
    return str(write_rows(path, questions(count, **settings)))


def write_prompts(path: Path, count: int, **settings: Any) -> str:
    """A file of them."""
    return str(write_rows(path, prompts(count, **settings)))
