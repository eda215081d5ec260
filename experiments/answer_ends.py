"""Whether the start and the end of answers are known together: of a model, or of several in turn.

What was never seen is known or unknown as a whole. A model that still finds one end of an answer has
forgotten half of it. Prints JSON.

Usage: ``python answer_ends.py MODEL … --data ROWS [--ids IDS] [-o results.json]``
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
from commands import Json
from torch import Tensor

from speu_cli.data.columns import QUESTION_ANSWERING, DataChoice
from speu_cli.data.ids import read_ids
from speu_cli.stages.runtime import Runtime
from speu_cli.stages.session import open_session
from speu_cli.tasks.windows import ABSENT


@dataclass(frozen=True)
class Missed:
    """Whether the likeliest place of an end is another, in any window of an example: as a loss of 0 or 1.

    Attributes:
        place: 0 for the start, 1 for the end.
    """

    place: int

    def losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Of each example, ``[n]``."""
        of_end = labels[..., self.place]
        found = logits[..., self.place].argmax(1).reshape(of_end.shape)
        return ((found != of_end) & (of_end != ABSENT)).any(1).double()


def ends_of(model: Path, data: str, ids: Path | None) -> Json:
    """How the ends of answers are known to a model.

    Args:
        model: Checkpoint folder, for question answering.
        data: Rows.
        ids: Of those that are looked at. Default: all.

    Returns:
        Fractions of examples of which both, one, or none of the ends are the likeliest places; and the
        correlation over the examples of the log-probabilities of start and end.
    """
    session = open_session(model, DataChoice(task=QUESTION_ANSWERING), Runtime())
    examples = session.read(data)
    encoded = session.encode(examples.select(read_ids(str(ids))) if ids else examples)
    wanted = [*session.task.terms, Missed(0), Missed(1)]
    start, end, *missed = session.several_losses(wanted, encoded, "answers").T
    known = 2 - np.sum(missed, axis=0)
    fractions = {name: float((known == ends).mean()) for ends, name in enumerate(("none", "one", "both"))}
    return {
        "model": model.name,
        "examples": len(encoded),
        **fractions,
        "correlation": float(np.corrcoef(start, end)[0, 1]),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Look at every model, print the figures and write them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", type=Path, nargs="+", metavar="MODEL")
    parser.add_argument("--data", required=True)
    parser.add_argument("--ids", type=Path, help="id list of the rows to look at; by default all")
    parser.add_argument("-o", "--output", type=Path, help="write the JSON here too")
    asked = parser.parse_args(arguments)
    rows = [ends_of(model, asked.data, asked.ids) for model in asked.models]
    text = json.dumps({"date": date.today().isoformat(), "rows": rows}, indent=1)
    print(text)
    if asked.output:
        asked.output.write_text(text + "\n")


if __name__ == "__main__":
    main()
