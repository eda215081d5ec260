"""Which of the forgotten examples would be known better unseen: what tells it before they are forgotten.

Rank correlations over the forget set with how well a model knows it that was retrained without: of the
margins of the original model, of those with dropout, also with other rates than its own, and of leave-one-out
estimates, by how much the loss of an example rises if it alone is left out, ∇ℓᵀ P⁻¹ ∇ℓ on the units of a
request, to first order. A second model retrained without, from another seed, tells how much there is to be
told. Prints JSON.

Usage: ``python unseen_order.py MODEL --fisher FILE --data DATA --forget IDS --reference RETRAINED …``
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path

from kronecker.opened import Opened, Sources, open_sources
from scipy.stats import spearmanr
from torch import nn

from speu_cli.stages.aimed.blocked_rows import BlockedRows
from speu_cli.stages.aimed.dropout import margins_with_dropout
from speu_cli.stages.runtime import Runtime
from speu_cli.stages.session import open_session
from speu_cli.tasks.margins import Floats
from speu_cli.unlearning.second_order import inverse_curvature

DAMPING = 0.1


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("model", type=Path, help="checkpoint folder")
    parser.add_argument("--fisher", type=Path, required=True, help="statistics, with a held-out set")
    parser.add_argument("--data", required=True, help="the training set")
    parser.add_argument("--forget", required=True, help="id list of the forget set")
    parser.add_argument("--reference", type=Path, nargs="+", required=True, help="models retrained without")
    parser.add_argument("--passes", type=int, nargs="+", default=[1, 4, 8], help="with dropout")
    parser.add_argument("--rates", type=float, nargs="+", default=[], help="of dropout, at most passes")
    parser.add_argument("-o", "--output", type=Path, help="write the JSON here too")
    return parser.parse_args(arguments)


def what_tells(opened: Opened, passes: Sequence[int], rates: Sequence[float]) -> dict[str, Floats]:
    """Numbers of each forgotten example, higher for what should be known better unseen.

    Args:
        opened: The request.
        passes: Numbers of passes with dropout.
        rates: Of dropout in place of the model's own, with as many passes as at most.

    Returns:
        By name, each ``[n_f]``; with dropout only of a model that has some.
    """
    session, encoded = opened.session, opened.forget.encoded
    found = {"margin": session.task.margins.of(opened.forget.losses)}
    for count in passes:
        with_dropout = margins_with_dropout(session, encoded, count)
        if with_dropout is not None:
            found[f"{count} with dropout"] = with_dropout
    for rate in rates:
        with _rate(session.checkpoint.model, rate):
            with_dropout = margins_with_dropout(session, encoded, max(passes))
        if with_dropout is not None:
            found[f"{max(passes)} with dropout of {rate}"] = with_dropout
    inverse = inverse_curvature(opened.request.remaining, opened.mask, damping=DAMPING)
    rows = BlockedRows(session, opened.mask, [(session.task, encoded)], "gradients")
    return {**found, "leave-one-out": -rows.gram(inverse)[0].diagonal().numpy()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare, print the correlations and write them."""
    asked = parse(arguments)
    sources = Sources(asked.model, asked.fisher, asked.data, asked.forget, test="")
    opened = open_sources(sources, sparsity=0.9, target=None, runtime=Runtime())
    first, *others = (_margins_of(one, opened) for one in asked.reference)
    told = what_tells(opened, asked.passes, asked.rates)
    told |= {f"retrained {number}": one for number, one in enumerate(others, start=2)}
    found = {name: float(spearmanr(one, first).statistic) for name, one in told.items()}
    examples = len(opened.forget.encoded)
    text = json.dumps(
        {"date": date.today().isoformat(), "examples": examples, "rank_correlation": found}, indent=1
    )
    print(text)
    if asked.output:
        asked.output.write_text(text + "\n")


@contextmanager
def _rate(model: nn.Module, rate: float) -> Iterator[None]:
    """Drop so much for a while, wherever the model drops at all."""
    own = {part: part.p for part in model.modules() if isinstance(part, nn.Dropout) and part.p > 0}
    try:
        for part in own:
            part.p = rate
        yield
    finally:
        for part, before in own.items():
            part.p = before


def _margins_of(model: Path, opened: Opened) -> Floats:
    session = open_session(model, opened.session.choice, opened.session.runtime)
    return session.task.margins.of(session.losses(opened.forget.encoded, model.name))


if __name__ == "__main__":
    main()
