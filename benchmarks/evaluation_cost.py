"""What ``speu eval`` takes, against the bare forward passes that it needs.

A BERT of random weights over made-up texts as long as the rows of SST-2. The evaluation reads the files,
loads the model, encodes the texts, and measures; the bare passes are of the model in memory over encoded
batches. The two are run in turn, pair by pair, in one process, so that a ratio holds on a machine whose speed
drifts.
Usage: ``OMP_NUM_THREADS=1 python benchmarks/evaluation_cost.py --pairs 5 [-o results/FILE.json]``
"""

import argparse
import json
import random
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from clock import Seconds, spread, timed
from figures import report
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from speu_cli.data.columns import DataChoice
from speu_cli.stages.evaluate import evaluate
from speu_cli.stages.runtime import Runtime
from speu_cli.stages.session import Session, open_session
from speu_cli.tasks.base import logits_of
from speu_cli.tasks.encoding import Encoded

WORDS, FORGOTTEN = 8000, 128
SPECIAL = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
MEAN_WORDS, MOST_WORDS = 10, 50  # of a row of the training set of SST-2


@dataclass(frozen=True)
class Place:
    """A folder with a model and its sets."""

    folder: Path

    def file(self, name: str) -> str:
        """Path of a file in it."""
        return str(self.folder / name)


def main() -> None:
    """Run the two in turn, and print and write the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=12000)
    parser.add_argument("--test-rows", type=int, default=872)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder))
        make_model(place, arguments.layers, arguments.width)
        make_sets(place, arguments.rows, arguments.test_rows)
        session = open_session(place.folder, DataChoice(), Runtime())
        encoded = [session.encode(session.read(place.file(name))) for name in ("train.jsonl", "test.jsonl")]
        runs: list[dict[str, Seconds]] = []
        for _ in range(arguments.pairs):
            least = timed(lambda: bare(session, encoded), "cpu")
            runs.append({"bare": least, "eval": timed(lambda: measured(place), "cpu")})
    texts = f"{arguments.rows} + {arguments.test_rows} texts"
    report(
        {
            "subject": f"{texts}, BERT of {arguments.layers} layers of {arguments.width}",
            "pairs": arguments.pairs,
            **{
                f"{clock}_seconds": {name: spread([run[name][clock] for run in runs]) for name in runs[0]}
                for clock in ("wall", "cpu")
            },
            **{
                f"{clock}_ratio": spread([run["eval"][clock] / run["bare"][clock] for run in runs])
                for clock in ("wall", "cpu")
            },
        },
        arguments.output,
    )


@torch.inference_mode()
def bare(session: Session, sets: list[Encoded]) -> None:
    """Every example through the model once."""
    for encoded in sets:
        for indices in encoded.batches(session.runtime.batch_tokens):
            inputs, _ = encoded.collate(indices)
            logits_of(session.checkpoint.model, inputs)


def measured(place: Place) -> None:
    """The whole evaluation of one model."""
    evaluate(place.folder, place.file("train.jsonl"), place.file("ids.txt"), place.file("test.jsonl"))


def make_model(place: Place, layers: int, width: int) -> None:
    """A BERT of random weights with a token for every word."""
    words = [*SPECIAL.values(), *(f"w{number}" for number in range(WORDS))]
    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token=SPECIAL["unk_token"]))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[(name, words.index(name)) for name in ("[CLS]", "[SEP]")]
    )
    saved = PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=128, **SPECIAL)
    saved.save_pretrained(place.folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=width // 64,
        intermediate_size=4 * width,
        max_position_embeddings=128,
        pad_token_id=0,
    )
    BertForSequenceClassification(config).save_pretrained(place.folder)


def make_sets(place: Place, rows: int, test_rows: int) -> None:
    """A training set, a test set, and the ids of the rows to forget."""
    draw = random.Random(0)

    def row(number: int) -> str:
        length = min(MOST_WORDS, 1 + int(draw.expovariate(1 / (MEAN_WORDS - 1))))
        text = " ".join(f"w{draw.randrange(WORDS)}" for _ in range(length))
        return json.dumps({"id": str(number), "text": text, "label": draw.randrange(2)}) + "\n"

    for name, count in {"train.jsonl": rows, "test.jsonl": test_rows}.items():
        (place.folder / name).write_text("".join(row(number) for number in range(count)))
    (place.folder / "ids.txt").write_text("".join(f"{number}\n" for number in range(FORGOTTEN)))


if __name__ == "__main__":
    main()
