"""How right an answer is: exact match and F1, as the evaluation scripts of SQuAD compute them."""

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence

ARTICLES = re.compile(r"\b(a|an|the)\b")
PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalised(text: str) -> str:
    """Lower case, without ASCII punctuation, articles and blanks beyond one."""
    return " ".join(ARTICLES.sub(" ", text.lower().translate(PUNCTUATION)).split())


def exact(answer: str, gold: str) -> float:
    """1 if the normalised texts are the same, else 0."""
    return float(normalised(answer) == normalised(gold))


def f1(answer: str, gold: str, *, may_be_empty: bool) -> float:
    """Harmonic mean of precision and recall of the words.

    Args:
        answer: What was answered.
        gold: What is right.
        may_be_empty: As SQuAD 2.0 has it: a text without words is right if the other has none either. In
            SQuAD 1.1 it is never.

    Returns:
        0 … 1.
    """
    words, right = normalised(answer).split(), normalised(gold).split()
    if may_be_empty and not (words and right):
        return float(words == right)
    same = sum((Counter(words) & Counter(right)).values())
    if not same:
        return 0.0
    precision, recall = same / len(words), same / len(right)
    return 2 * precision * recall / (precision + recall)


def best_of(answer: str, golds: Sequence[str], *, may_lack_answer: bool) -> tuple[float, float]:
    """Exact match and F1 against the answer that fits best.

    Args:
        answer: What was answered; empty: that there is no answer.
        golds: What is right; none: there is no answer.
        may_lack_answer: Whether the data set has questions without an answer, as SQuAD 2.0 does.

    Returns:
        Both, 0 … 1.
    """
    if may_lack_answer:
        golds = [gold for gold in golds if normalised(gold)] or [""]
    scores: list[Callable[[str], float]] = [
        lambda gold: exact(answer, gold),
        lambda gold: f1(answer, gold, may_be_empty=may_lack_answer),
    ]
    best_exact, best_f1 = (max(map(score, golds), default=0.0) for score in scores)
    return best_exact, best_f1
