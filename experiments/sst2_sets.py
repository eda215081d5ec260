"""Cut SST-2 into the sets of the study: 12,000 training rows, 2,000 held-out rows, three forget draws.

Rows of at least four words, shuffled with seed 0. Usage: ``python sst2_sets.py SST2_FOLDER WORK_FOLDER``,
where SST2_FOLDER holds ``train.jsonl.gz`` and ``dev.jsonl.gz`` with ``id``, ``text`` and ``label``.
"""

import gzip
import json
import random
import sys
from pathlib import Path

TRAINING, HELDOUT, FORGET = 12_000, 2_000, 128
MIN_WORDS = 4
DRAWS = {"a": 0, "b": 500, "c": 1_000}


def main(source: Path, target: Path) -> None:
    """Write ``train``, ``heldout`` and ``test`` as JSON lines, and ``forget-a.txt`` … as id lists."""
    target.mkdir(parents=True, exist_ok=True)
    with gzip.open(source / "train.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    rows = [row for row in rows if len(row["text"].split()) >= MIN_WORDS]
    random.Random(0).shuffle(rows)
    _write(target / "train.jsonl", rows[:TRAINING])
    _write(target / "heldout.jsonl", rows[TRAINING : TRAINING + HELDOUT])
    for draw, start in DRAWS.items():
        ids = [row["id"] for row in rows[start : start + FORGET]]
        (target / f"forget-{draw}.txt").write_text("\n".join(ids) + "\n")
    with gzip.open(source / "dev.jsonl.gz", "rt", encoding="utf-8") as file:
        _write(target / "test.jsonl", [json.loads(line) for line in file])


def _write(path: Path, rows: list[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
