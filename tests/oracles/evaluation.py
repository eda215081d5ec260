"""Evaluation by brute force: loops over pairs and thresholds, formulas as they are printed."""

import math
from collections.abc import Sequence

Z = 1.959963984540054


def wilson(count: int, n: int) -> tuple[float, float]:
    p = count / n
    centre = (p + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * math.sqrt(p * (1 - p) / n + Z**2 / (4 * n**2))
    return centre - half, centre + half


def midranks(values: Sequence[float]) -> list[float]:
    """1 + how many are smaller + half of how many others are equal."""
    return [1 + sum(v < x for v in values) + (sum(v == x for v in values) - 1) / 2 for x in values]


def spearman(a: Sequence[float], b: Sequence[float]) -> float:
    """Pearson's correlation of the midranks."""
    x, y = midranks(a), midranks(b)
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    covariance = sum((p - mean_x) * (q - mean_y) for p, q in zip(x, y, strict=True))
    return covariance / math.sqrt(sum((p - mean_x) ** 2 for p in x) * sum((q - mean_y) ** 2 for q in y))


def best_threshold(members: Sequence[float], nonmembers: Sequence[float]) -> tuple[float, float]:
    """The lowest of the thresholds with the best balanced accuracy, and that accuracy."""
    best, best_right = math.inf, -1
    for threshold in sorted({*members, *nonmembers}):
        right = sum(x >= threshold for x in members) + sum(x < threshold for x in nonmembers)
        if right > best_right:
            best, best_right = threshold, right
    return best, best_right / (len(members) + len(nonmembers))


def area(positives: Sequence[float], negatives: Sequence[float]) -> float:
    """The fraction of pairs in which the positive is higher, ties counting half."""
    wins = sum((p > q) + 0.5 * (p == q) for p in positives for q in negatives)
    return wins / (len(positives) * len(negatives))


def area_variance(area: float, positives: int, negatives: int) -> float:
    """Hanley and McNeil's, from Q1 and Q2 as they are printed, both groups taken as of their mean size."""
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    others = (positives + negatives) / 2 - 1
    spread = others * (q1 - area**2) + others * (q2 - area**2)
    return (area * (1 - area) + spread) / (positives * negatives)


def class_shift(predictions, labels):
    """The share of predictions to change before each class is predicted as often as it is true."""
    predictions, labels = list(predictions), list(labels)
    classes = set(predictions) | set(labels)
    return sum(max(0, predictions.count(one) - labels.count(one)) for one in classes) / len(labels)


def pearson(x, y):
    """Covariance over the product of the standard deviations."""
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    pairs = list(zip(x, y, strict=True))
    covariance = sum((a - mean_x) * (b - mean_y) for a, b in pairs)
    return covariance / math.sqrt(sum((a - mean_x) ** 2 for a in x) * sum((b - mean_y) ** 2 for b in y))


def best_no_answer_threshold(scores, margins, answerable):
    """Every threshold tried: a question is answered up to it. The lowest of the best counts."""
    unanswered = sum(1 for one in answerable if not one)
    best, threshold = unanswered / len(scores), 0.0
    order = sorted(range(len(scores)), key=lambda i: margins[i])
    for last in range(len(order)):
        answered = order[: last + 1]
        total = sum(scores[i] for i in answered if answerable[i])
        total += sum(1 for i in order[last + 1 :] if not answerable[i])
        if total / len(scores) > best + 1e-12:
            best, threshold = total / len(scores), margins[order[last]]
    return best, threshold


def kl(p, q):
    """Σ p log(p/q) over what p allows."""
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True) if a > 0)


def entropy(p):
    """−Σ p log p."""
    return -sum(a * math.log(a) for a in p if a > 0)


def modified_entropy(p, y):
    """As it is printed in the paper of Song and Mittal."""
    others = sum(a * math.log(1 - a) for i, a in enumerate(p) if i != y)
    return -(1 - p[y]) * math.log(p[y]) - others


def class_attack(members, nonmembers, asked):
    """Song and Mittal's attack on (value, class) pairs: every threshold of every class is tried.

    Returns which of ``asked`` are called members.
    """

    def best(known, unknown):
        found, most = math.inf, -math.inf
        for threshold in sorted({*known, *unknown}):
            true = sum(x >= threshold for x in known) * len(unknown)
            false = sum(x >= threshold for x in unknown) * len(known)
            if true - false > most:
                found, most = threshold, true - false
        return found

    def of(pairs, one):
        return [value for value, label in pairs if label == one]

    answers = []
    for value, label in asked:
        known, unknown = of(members, label), of(nonmembers, label)
        if not known or not unknown:
            known, unknown = [v for v, _ in members], [v for v, _ in nonmembers]
        answers.append(value >= best(known, unknown))
    return answers


def area_within_classes(positives, negatives):
    """Of the pairs of one class, the fraction in which the positive is higher, ties counting half."""
    pairs = [(p, q) for p, a in positives for q, b in negatives if a == b]
    return sum((p > q) + 0.5 * (p == q) for p, q in pairs) / len(pairs)
