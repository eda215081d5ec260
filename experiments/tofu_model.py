"""A small Llama for TOFU: its own tokenizer, random weights, nothing learnt yet.

Usage: ``python tofu_model.py DATA.jsonl FOLDER``; DATA holds ``question`` and ``answer`` in each row.
"""

import json
import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as Decoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

VOCABULARY = 4096
BEGIN, END, PAD = "<s>", "</s>", "<pad>"
LONGEST = 256


def main(data: Path, target: Path) -> None:
    """Write a checkpoint of 4 layers, 256 wide, about four million parameters."""
    tokenizer = make_tokenizer(data)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=256,
        intermediate_size=688,
        num_hidden_layers=4,
        num_attention_heads=8,
        num_key_value_heads=4,
        max_position_embeddings=LONGEST,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(target)
    tokenizer.save_pretrained(target)


def make_tokenizer(data: Path) -> PreTrainedTokenizerFast:
    """Byte pairs of the questions and answers."""
    rows = [json.loads(line) for line in data.read_text(encoding="utf-8").splitlines()]
    pairs = Tokenizer(BPE())
    pairs.pre_tokenizer = ByteLevel(add_prefix_space=False)
    pairs.decoder = Decoder()
    trainer = BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[BEGIN, END, PAD],
        initial_alphabet=ByteLevel.alphabet(),
        show_progress=False,
    )
    pairs.train_from_iterator([f"{row['question']} {row['answer']}" for row in rows], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=pairs, bos_token=BEGIN, eos_token=END, pad_token=PAD, model_max_length=LONGEST
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
