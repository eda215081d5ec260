"""Scores of the tasks on the three sets, and losses."""

from collections.abc import Iterator

from speu_cli.evaluation.definitions.definition import (
    CLOSER,
    CORRELATION,
    FRACTION,
    HIGHER,
    LOGITS,
    LOSS,
    LOWER,
    NO_BETTER,
    NO_INTERVAL,
    Definition,
    Unit,
)
from speu_cli.evaluation.definitions.kinds import (
    CLASSES,
    FISHER,
    LANGUAGE,
    NUMBERS,
    QUESTIONS,
    SETS,
    T_CUT,
    WILSON,
    T,
)

ON = {
    "unlearning": "the forgotten examples",
    "{remaining,testing}": "the remaining, or on the test examples",
}


def _scores() -> Iterator[Definition]:
    """A task's own score on the three sets."""
    of_tasks: tuple[tuple[str, str, Unit, str, tuple[str, ...]], ...] = (
        ("accuracy", "share of right predictions", FRACTION, WILSON, CLASSES),
        (
            "spearman",
            "Spearman's rank correlation of predictions and labels",
            CORRELATION,
            FISHER,
            NUMBERS,
        ),
        ("f1", "mean F1 of the words of the answers", FRACTION, T_CUT, QUESTIONS),
        ("probability", "mean probability exp(−ℓ) of the answers", FRACTION, T_CUT, LANGUAGE),
    )
    for name, meaning, unit, interval, tasks in of_tasks:
        for place, where in ON.items():
            better = CLOSER if place == "unlearning" else HIGHER
            yield Definition(f"{place}_{name}", f"{meaning} on {where}", better, unit, interval, tasks)


SCORES = tuple(_scores())
OF_FORGOTTEN = tuple(one for one in SCORES if one.pattern.startswith("unlearning_"))


def _further() -> Iterator[Definition]:
    """What is told of the three sets beside a task's own score."""
    of_tasks = (
        ("pearson", "linear correlation of predictions and labels", CORRELATION, FISHER, NUMBERS),
        ("exact", "share of answers that match exactly", FRACTION, WILSON, QUESTIONS),
        (
            "best_{f1,exact}",
            "score at the best threshold of having no answer, where questions may have none",
            FRACTION,
            NO_INTERVAL,
            QUESTIONS,
        ),
        (
            "token_accuracy",
            "mean share of an answer's tokens that are the likeliest",
            FRACTION,
            T_CUT,
            LANGUAGE,
        ),
        ("rouge_l", "mean ROUGE-L recall of what the model answers itself", FRACTION, T_CUT, LANGUAGE),
    )
    for name, meaning, unit, interval, tasks in of_tasks:
        for sets, better in (("forget", CLOSER), ("{remaining,test}", HIGHER)):
            yield Definition(f"{name}.{sets}", meaning, better, unit, interval, tasks)
    for sets, better in (("forget", CLOSER), ("{remaining,test}", LOWER)):
        yield Definition(
            f"class_shift.{sets}",
            "½ Σ |share of the predictions − share of the labels|, over the classes",
            better,
            FRACTION,
            NO_INTERVAL,
            CLASSES,
        )
    yield Definition(
        f"threshold_{{f1,exact}}.{SETS}",
        "the threshold of best_…: a question above it is said to have no answer",
        NO_BETTER,
        LOGITS,
        tasks=QUESTIONS,
    )
    memory = (
        (
            "exact_memorisation",
            "mean share of the tokens that are the likeliest, the end-of-text token left out",
        ),
        (
            "extraction_strength",
            "mean share of an answer, from its end, that the model would say by itself after the rest",
        ),
    )
    for name, meaning in memory:
        yield Definition(f"{name}.{SETS}", meaning, CLOSER, FRACTION, T_CUT, LANGUAGE)


FURTHER = tuple(_further())
FORGET_LOSS = Definition("loss.forget", "mean loss of the forgotten examples", CLOSER, LOSS, T)
LOSSES = (
    FORGET_LOSS,
    Definition(
        "loss.{remaining,test}", "mean loss of the remaining, or of the test examples", LOWER, LOSS, T
    ),
)
