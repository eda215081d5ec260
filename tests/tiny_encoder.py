"""A tiny encoder without a head, as a pretrained one comes."""

from pathlib import Path

from transformers.utils import logging

from tiny import tiny_model, tiny_tokenizer


def tiny_encoder(folder: Path, family: str = "bert", *, seed: int = 0) -> Path:
    """A folder with an encoder of random weights and its tokenizer."""
    logging.disable_progress_bar()
    tiny_model(family, seed=seed).base_model.save_pretrained(folder)
    tiny_tokenizer(family).save_pretrained(folder)
    return folder
