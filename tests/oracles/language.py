"""Language models by loops over examples and tokens, formulas as they are printed."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

IGNORED = -100


def token_figures(logits: Tensor, tokens: Sequence[int]) -> list[tuple[float, float, bool]]:
    """log p, its standardised value and whether it is the likeliest, of each token."""
    figures = []
    for row, token in zip(logits.double().tolist(), tokens, strict=True):
        total = math.fsum(math.exp(x) for x in row)
        logs = [x - math.log(total) for x in row]
        mean = math.fsum(math.exp(x) * x for x in logs)
        variance = math.fsum(math.exp(x) * x * x for x in logs) - mean * mean
        standard = (logs[token] - mean) / math.sqrt(max(variance, 1e-6))
        figures.append((logs[token], standard, max(row) == row[token]))
    return figures


def answer_figures(model, row, end: int | None) -> list[tuple[float, float, bool]]:
    """Of the tokens of one example's answer, without the end of the text if that is not all."""
    logits = model(input_ids=torch.tensor([row["input_ids"]])).logits[0]
    places = [t for t, label in enumerate(row["labels"]) if t and label != IGNORED]
    if len(places) > 1 and row["input_ids"][places[-1]] == end:
        places = places[:-1]
    return token_figures(logits[[t - 1 for t in places]], [row["input_ids"][t] for t in places])


def mean_of_least(values: Sequence[float], share: float) -> float:
    few = max(1, int(share * len(values)))
    return sum(sorted(values)[:few]) / few


def extraction_strength(hits: Sequence[bool]) -> float:
    """1 − the shortest prefix's share, after which every token is right."""
    prefix = next(k for k in range(len(hits) + 1) if all(hits[k:]))
    return 1 - prefix / len(hits)


def geometric_ratio(right: float, wrong: Sequence[float]) -> float:
    """GM(p_wrong)/p_right."""
    product = math.prod(math.exp(-loss) for loss in wrong)
    return product ** (1 / len(wrong)) / math.exp(-right)


def arithmetic_ratio(right: float, wrong: Sequence[float]) -> float:
    return sum(math.exp(-loss) for loss in wrong) / len(wrong) / math.exp(-right)


def distance(a: Sequence[float], b: Sequence[float]) -> float:
    """Largest difference of the two distribution functions."""
    return max(abs(sum(x <= at for x in a) / len(a) - sum(x <= at for x in b) / len(b)) for at in [*a, *b])


def p_value(a: Sequence[float], b: Sequence[float]) -> float:
    """Share of the ways to deal all values into two groups whose distance is as large; without ties."""
    from itertools import combinations

    values, found, least = [*a, *b], [], distance(a, b) - 1e-12
    for chosen in combinations(range(len(values)), len(a)):
        others = [values[i] for i in range(len(values)) if i not in chosen]
        found.append(distance([values[i] for i in chosen], others) >= least)
    return sum(found) / len(found)


def harmonic_mean(values: Sequence[float]) -> float:
    return len(values) / sum(1 / value for value in values)
