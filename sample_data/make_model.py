"""Train the two models of the sample data: one on all training tickets, one without those to be forgotten.

The encoder is a BERT of two small layers that starts from random weights and has a vocabulary of its own: the
tickets are all that it has ever seen. It is trained long enough to know their odd labels by heart.

    python sample_data/make_model.py            # writes model/ and retrained/ beside this script, in minutes
    python sample_data/make_model.py FOLDER     # or there
"""

import json
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import torch
from tokenizers import BertWordPieceTokenizer
from transformers import BertConfig, BertModel, BertTokenizer

from speu_cli import Runtime, train

T = TypeVar("T")

HERE = Path(__file__).parent
TRAINING_SET = HERE / "train.jsonl"
REQUEST = HERE / "forget_64.txt"

VOCABULARY = 1200
LONGEST_TICKET = 96
HIDDEN, LAYERS, HEADS, FILTERS = 96, 2, 4, 384
EPOCHS, LEARNING_RATE = 12, 1e-3
SEED = 0


class Lines:
    """A progress of one line per hundred steps."""

    def track(self, items: Iterable[T], *, total: int, description: str) -> Iterator[T]:
        """Yield the items, now and then with a line."""
        for number, item in enumerate(items):
            if number % 100 == 0:
                self.note(f"{description}: {number}/{total}")
            yield item

    def note(self, message: str) -> None:
        """Print a line."""
        print(message, file=sys.stderr)


def make_base(folder: Path) -> None:
    """Write an encoder that knows nothing, and a word-piece vocabulary of the training tickets."""
    texts = [json.loads(line)["text"] for line in TRAINING_SET.read_text(encoding="utf-8").splitlines()]
    pieces = BertWordPieceTokenizer()
    pieces.train_from_iterator(texts, vocab_size=VOCABULARY, show_progress=False)
    tokenizer = BertTokenizer(vocab=pieces.get_vocab(), model_max_length=LONGEST_TICKET)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(SEED)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=FILTERS,
        max_position_embeddings=LONGEST_TICKET,
    )
    BertModel(config).save_pretrained(folder)


def main(folder: Path) -> None:
    """Train both models from one start, with one seed: they differ by the tickets alone."""
    runtime = Runtime(force=True, progress=Lines())
    with tempfile.TemporaryDirectory() as base:
        make_base(Path(base))
        for name, exclude in (("model", None), ("retrained", str(REQUEST))):
            result = train(
                Path(base),
                str(TRAINING_SET),
                folder / name,
                exclude=exclude,
                epochs=EPOCHS,
                learning_rate=LEARNING_RATE,
                seed=SEED,
                runtime=runtime,
            )
            print(f"{result.output}: {result.examples} tickets, mean loss {result.mean_loss:.3f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
