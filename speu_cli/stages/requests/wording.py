"""The account of a request in words, as Markdown; what comes from outside is never taken as markup."""

import re
from collections.abc import Iterator

from speu_cli.stages.requests.account import Account
from speu_cli.unlearning.requests.capacity import Level

MARKUP = re.compile(r"([\\`*_{}\[\]()|<>&~:@.])")
METHODS = {
    "spe-so": "a second-order step on the attention heads and filters that matter most for them (SPE-SO)",
    "so": "a second-order step on all attention heads and filters (SO)",
}
MODES = {
    "aided": "computed at the original model, together with all earlier requests",
    "free": "computed at the model that the request before left",
}


def as_markdown(account: Account) -> str:
    """Write an account.

    Args:
        account: The account.

    Returns:
        Markdown.
    """
    asked, done = account.asked, account.done
    lines = [
        f"# Deletion request {_plain(account.request_id)}",
        "",
        "## What was asked",
        "",
        f"To make the model forget {asked['examples']:,} training examples.",
        *_asked_before(account),
        "",
        "## What was done",
        "",
        f"On {account.time} (UTC) the model was changed by {METHODS[done['method']]}, "
        f"{MODES[done['mode']]}. All other parameters are as they were, bit for bit.",
        "",
        *_table(("", ""), _facts(account)),
        "",
        "## What it showed",
        "",
        "The loss tells how surprised a model is by the label of an example: low for what it was trained on, "
        "higher for what it has not seen.",
        "",
        *_table(("mean loss of", "before", "after"), _losses(account)),
        "",
        f"Since the original model, {account.capacity.forgotten_share:.2%} of the training examples were "
        f"forgotten, and heads and filters have moved by {account.capacity.drift.share:.3%} of their size.",
        *_advice(account),
        "",
        "## What it does not prove",
        "",
        *(f"- {line}" for line in account.not_proven),
        "",
        "## How to check it",
        "",
        "`speu requests verify` on the state compares the ledger and the models with their hashes. Whoever "
        "has the file `salt` of the state can tell whether an id is among those of this request.",
        "",
    ]
    return "\n".join(lines)


def _asked_before(account: Account) -> Iterator[str]:
    before = account.asked["forgotten_before"]
    if before:
        yield f"{before:,} of them had been forgotten by earlier requests; they were not counted twice."


def _facts(account: Account) -> Iterator[tuple[str, ...]]:
    done = account.done
    for kind, (part, of) in done["selected"].items():
        yield f"{kind} that could change", f"{part:,} of {of:,}"
    yield "parameters that could change", f"{done['parameters_changed']:,}"
    if done["rate"] is not None:
        yield "rate", f"{done['rate']:.3g}"
    yield "forgotten in all", f"{done['forgotten_in_all']:,} of {done['training_examples']:,} examples"
    yield "model before", f"sha256 {done['model_before']['weights']}"
    yield "model after", f"sha256 {done['model_after']['weights']}"
    yield "written to", _plain(done["output"])
    yield "entry of the ledger", f"{account.number}, sha256 {account.sha256}"


def _losses(account: Account) -> Iterator[tuple[str, ...]]:
    showed, capacity = account.showed, account.capacity
    if showed["loss_before"] is not None:
        yield "the forgotten examples", f"{showed['loss_before']:.4f}", f"{showed['loss_after']:.4f}"
    if showed["unseen_loss"] is not None:
        yield "unseen examples, which these should come to look like", f"{showed['unseen_loss']:.4f}", ""
    yield from _level("held-out examples", capacity.holdout)
    yield from _level("remaining training examples", capacity.remaining)


def _level(name: str, level: Level | None) -> Iterator[tuple[str, ...]]:
    """Watched examples; before is the original model."""
    if level is not None:
        yield (
            f"{level.examples:,} {name} (before: at the original model)",
            f"{level.start:.4f}",
            f"{level.after:.4f}",
        )


def _advice(account: Account) -> Iterator[str]:
    for reason in account.showed["retrain"]:
        yield f"**Retraining is advised**: {_plain(reason)}."


def _table(header: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> Iterator[str]:
    for row in (header, ("---",) * len(header), *rows):
        yield "| " + " | ".join(row) + " |"


def _plain(text: str) -> str:
    """Text that Markdown and HTML show as it is."""
    return MARKUP.sub(r"\\\1", " ".join(text.split())).replace("\\<", "&lt;").replace("\\&", "&amp;")
