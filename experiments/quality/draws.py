"""Further draws of a set, smaller and larger, beside those of every table."""

import json
from itertools import accumulate

from data_cuts import NoDataError
from study import Study


def further_draws(study: Study) -> list[str]:
    """Write the id lists of the further draws, of rows that follow those of the others.

    Args:
        study: Where, and of which sizes.

    Returns:
        Their names, which are their sizes.

    Raises:
        NoDataError: The set has too few rows.
    """
    sizes = study.setting.further.get(study.data_set.name, ())
    first = study.setting.draws * study.setting.forget
    with (study.cut / "train.jsonl").open(encoding="utf-8") as file:
        ids = [str(json.loads(line)["id"]) for line in file]
    if first + sum(sizes) > len(ids):
        raise NoDataError(f"draws of {study.data_set.title} need {first + sum(sizes)} rows, found {len(ids)}")
    for size, end in zip(sizes, accumulate(sizes, initial=first), strict=False):
        study.forget(str(size)).write_text("".join(f"{one}\n" for one in ids[end : end + size]))
    return [str(size) for size in sizes]
