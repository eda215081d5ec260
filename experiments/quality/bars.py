"""What a recipe has to reach to stand beside retraining, and whether it does."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from commands import Json

from quality.rows import OFF, OTHER_SEED
from quality.variants import Variant

GAP, WORST, OFF_BY, AUC_OFF, TIME = 1.0, 2.0, 0.5, 0.03, 1 / 50
AHEAD, OF_DRAWS = 13, 15


@dataclass(frozen=True)
class Verdict:
    """Whether a bar is met.

    Attributes:
        met: So.
        value: What was found.
    """

    met: bool
    value: str

    def __str__(self) -> str:
        return f"{'met' if self.met else 'not met'}: {self.value}"


@dataclass(frozen=True)
class Compared:
    """The draws of a recipe.

    Attributes:
        rows: Of the recipe; what was not measured is NaN.
        on_all: The same draws, served by SO with the same recipe.
        seeds: Of each set, the retrained model from another seed.
    """

    rows: Sequence[Json]
    on_all: Sequence[Json]
    seeds: Sequence[Json]

    def values(self, name: str) -> list[float]:
        """Of the draws where it was measured."""
        return _there(self.rows, name)

    def between_seeds(self, name: str) -> float:
        """The mean over the sets."""
        return fmean(_there(self.seeds, name) or [math.nan])


def compared(rows: Iterable[Json], chosen: Variant, on_all: Variant) -> Compared:
    """Take the draws of a recipe, without the further ones.

    Args:
        rows: Of one set or of several.
        chosen: The recipe with SPE-SO.
        on_all: The same with SO.

    Returns:
        What the bars look at.
    """
    of_tables = [row for row in rows if not row["further"]]
    one, other, seeds = (
        [row for row in of_tables if row["method"] == method]
        for method in (chosen.name, on_all.name, OTHER_SEED)
    )
    return Compared(one, other, seeds)


def _mean_gap(of: Compared) -> Verdict:
    gaps, noise = of.values("gap"), of.between_seeds("gap")
    mean = fmean(gaps or [math.nan])
    met = _none_refused(of) and (mean <= GAP or mean <= noise)
    return Verdict(met, f"{mean:.2f}, between seeds {noise:.2f}{_refused(of)}")


def _worst_gap(of: Compared) -> Verdict:
    worst = max(of.values("gap"), default=math.nan)
    return Verdict(_none_refused(of) and worst <= WORST, f"{worst:.2f}{_refused(of)}")


def _near(name: str) -> Callable[[Compared], Verdict]:
    return lambda of: _in_every(of, [abs(value) <= OFF_BY for value in of.values(f"{name}_off")])


def _ahead(of: Compared) -> Verdict:
    """A draw that was refused to either is not ahead; one without SO is not counted, and misses the bar."""
    others = {(row["set"], row["draw"]): row for row in of.on_all}
    pairs = [(row, others[key]) for row in of.rows if (key := (row["set"], row["draw"])) in others]
    if not pairs:
        return Verdict(False, "not measured")
    ahead = {name: sum(one[name] > other[name] for one, other in pairs) for name in OFF}
    told = ", ".join(f"{name} in {count} of {len(pairs)}" for name, count in ahead.items())
    enough = min(ahead.values()) >= AHEAD / OF_DRAWS * len(pairs)
    return Verdict(enough and len(pairs) == len(of.rows), told)


def _auc(of: Compared) -> Verdict:
    return _in_every(of, [abs(value) <= AUC_OFF for value in of.values("auc_off")])


def _agreement(of: Compared) -> Verdict:
    rank, confidence = (fmean(of.values(name) or [math.nan]) for name in ("rank", "confidence"))
    least, most = of.between_seeds("rank"), of.between_seeds("confidence")
    told = f"rank {rank:.2f} ({least:.2f}), confidence {confidence:.3f} ({most:.3f})"
    return Verdict(rank >= least and confidence <= most, told)


def _time(of: Compared) -> Verdict:
    longest = max(of.values("time_share"), default=math.nan)
    told = "not measured" if math.isnan(longest) else f"1/{1 / longest:.0f} at the longest"
    return Verdict(longest <= TIME, told)


BARS: dict[str, Callable[[Compared], Verdict]] = {
    f"mean gap at most {GAP}, or no larger than between seeds": _mean_gap,
    f"gap of the worst draw at most {WORST}": _worst_gap,
    **{f"{name} within {OFF_BY} of RT's in every draw": _near(name) for name in reversed(OFF)},
    f"SPE-SO ahead of SO on R and T in {AHEAD} of {OF_DRAWS} draws": _ahead,
    f"AUC against held-out rows within {AUC_OFF} of RT's in every draw": _auc,
    "agreement on the forgotten rows as between seeds (in brackets)": _agreement,
    f"a request takes at most 1/{1 / TIME:.0f} of retraining": _time,
}


def _in_every(of: Compared, met: Sequence[bool]) -> Verdict:
    """A draw that was refused does not meet it."""
    return Verdict(0 < sum(met) == len(of.rows), f"in {sum(met)} of {len(of.rows)}")


def _none_refused(of: Compared) -> bool:
    return len(of.rows) == len(of.values("gap"))


def _refused(of: Compared) -> str:
    count = len(of.rows) - len(of.values("gap"))
    return f" ({count} of {len(of.rows)} refused)" if count else ""


def _there(rows: Iterable[Json], name: str) -> list[float]:
    values = [float(row.get(name, math.nan)) for row in rows]
    return [value for value in values if not math.isnan(value)]
