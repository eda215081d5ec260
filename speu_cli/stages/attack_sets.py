"""The examples that attacks of ``speu eval`` use beside the three sets."""

from dataclasses import replace

import numpy as np

from speu_cli.data.examples import SHOWN_IDS, Examples
from speu_cli.data.selection import sample_flags
from speu_cli.errors import InputError
from speu_cli.stages.session import Session
from speu_cli.tasks.settings import without_ids
from speu_cli.unlearning.relearning import shown_by_default

FEWEST_FORGOTTEN = 2  # one to train on, one to measure


def divided(forgotten: Examples, count: int | None, seed: int) -> tuple[Examples, Examples]:
    """Draw the examples to train on in relearning.

    Args:
        forgotten: The forget set.
        count: How many to draw. Default: a tenth, at least 8, at most half.
        seed: Of the draw.

    Returns:
        They, and the others.

    Raises:
        InputError: None would be left to train on or to measure.
    """
    if len(forgotten) < FEWEST_FORGOTTEN:
        raise InputError(f"--relearn: got 1 forgotten example, expected at least {FEWEST_FORGOTTEN}")
    wanted = shown_by_default(len(forgotten)) if count is None else count
    if wanted >= len(forgotten):
        raise InputError(
            f"--relearn-examples is {wanted}, expected less than the {len(forgotten)} forgotten examples: "
            "it is measured on the others"
        )
    drawn = np.flatnonzero(sample_flags(len(forgotten), wanted, seed)).tolist()
    ids = [forgotten.ids[position] for position in drawn]
    return forgotten.select(ids), forgotten.without(ids)


def read_paraphrases(session: Session, source: str, forgotten: Examples) -> Examples:
    """Read forgotten examples in other words.

    Args:
        session: Says how examples are read.
        source: Where they are.
        forgotten: The forget set.

    Returns:
        Those that there are.

    Raises:
        InputError: They have no ids, or an id that no forgotten example has.
    """
    columns = without_ids(session.choice, forgotten.columns)
    own_ids = session.choice.id_column or None  # row numbers of the data say nothing of these rows
    session = replace(session, choice=replace(columns, id_column=own_ids))
    found = session.read(source)
    if found.columns.id is None:
        raise InputError(
            f"{source}: no id column, expected the ids of the forgotten examples that the rows paraphrase"
        )
    known = set(forgotten.ids)
    unknown = [one for one in found.ids if one not in known]
    if unknown:
        shown = ", ".join(map(repr, unknown[:SHOWN_IDS])) + (", …" if len(unknown) > SHOWN_IDS else "")
        raise InputError(f"{source}: {len(unknown)} of {len(found)} ids are not in the forget set: {shown}")
    return found
