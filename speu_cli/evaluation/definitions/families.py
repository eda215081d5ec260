"""All metrics that ``speu eval`` can tell, family by family: one row each."""

from collections.abc import Iterator
from dataclasses import replace

from speu_cli.data.columns import CAUSAL_LM, IMAGE_CLASSIFICATION, QUESTION_ANSWERING
from speu_cli.evaluation.definitions.definition import (
    CLOSER,
    CONFIDENCE,
    CORRELATION,
    FALL,
    FRACTION,
    HIGHER,
    LOGITS,
    LOSS,
    LOWER,
    NATS,
    NO_BETTER,
    NO_INTERVAL,
    P_VALUE,
    PER_CENT,
    POINTS,
    POINTS_OF_CORRELATIONS,
    STEPS,
    Better,
    Definition,
    Unit,
)

CLASSES, NUMBERS = ("classification", IMAGE_CLASSIFICATION), ("regression",)
QUESTIONS, LANGUAGE = (QUESTION_ANSWERING,), (CAUSAL_LM,)

WILSON = "Wilson"
WILSON_FITTED = "Wilson, the thresholds held fixed"
T = "t over the examples"
T_CUT = "t over the examples, cut at 0 and 1"
T_ABOVE = "t over the examples, cut at 0"
FISHER = "on Fisher's z"
AREA = "Hanley and McNeil's variance, Newcombe's method 5"
AREAS = "those of the classes, put together by the recovery of variances"

SETS = "{forget,remaining,test}"
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
        ("probability", "mean of exp(−ℓ), ℓ the mean loss of a token", FRACTION, T_CUT, LANGUAGE),
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
AUC = Definition(
    "membership.auc",
    "chance that a forgotten example has a higher confidence than a test example; 0.5: not to be told apart",
    CLOSER,
    FRACTION,
    AREA,
)
PER_CLASS = "membership.{confidence_per_class,entropy,modified_entropy}"
MEMBERSHIP = (
    Definition(
        "membership.member_fraction",
        "share of the forgotten examples that the attack calls members",
        CLOSER,
        FRACTION,
        WILSON_FITTED,
    ),
    Definition(
        "membership.nonmember_fraction",
        "share of the forgotten examples that the attack does not call members",
        CLOSER,
        FRACTION,
        WILSON_FITTED,
    ),
    Definition(
        "membership.attack_accuracy",
        "balanced accuracy of the attack on the remaining and test examples that it was fitted on",
        CLOSER,
        FRACTION,
        WILSON_FITTED,
    ),
    AUC,
    Definition(
        f"{PER_CLASS}.member_fraction",
        "share of the forgotten examples called members, with a threshold for each class",
        CLOSER,
        FRACTION,
        WILSON_FITTED,
        CLASSES,
    ),
    Definition(
        f"{PER_CLASS}.attack_accuracy",
        "balanced accuracy of that attack on the examples that it was fitted on",
        CLOSER,
        FRACTION,
        WILSON_FITTED,
        CLASSES,
    ),
    Definition(
        f"{PER_CLASS}.auc",
        "chance that a forgotten example looks more like a member than a test example of its class",
        CLOSER,
        FRACTION,
        AREAS,
        CLASSES,
    ),
    Definition(
        "membership.{loss,zlib,min_k,min_k_plus_plus}.auc",
        "chance that a forgotten example looks better known than a test example; 0.5: not to be told apart",
        CLOSER,
        FRACTION,
        AREA,
        LANGUAGE,
    ),
    Definition(
        "membership.privleak",
        "100·(A_r − A)/(1 − A_r), A the area of Min-K and A_r that of the retrained model; below 0 the "
        "forgotten examples still look known",
        CLOSER,
        replace(PER_CENT, low=-100.0),
        "that of A, with A_r held fixed",
        LANGUAGE,
    ),
)
AGREEMENT = (
    Definition(
        "agreement.loss_rank.forget",
        "Spearman's rank correlation of the losses of model and retrained model",
        HIGHER,
        CORRELATION,
        FISHER,
    ),
    Definition(
        "agreement.confidence.forget",
        "mean absolute difference of the confidences of model and retrained model",
        LOWER,
        CONFIDENCE,
        T_ABOVE,
    ),
    Definition(
        f"agreement.kl.{SETS}",
        "mean KL divergence of the model's predictions from those of the retrained model",
        LOWER,
        NATS,
        T_ABOVE,
        (*CLASSES, *QUESTIONS, *LANGUAGE),
    ),
)


def _distances(head: str, meaning: str, average: str, better: Better) -> Iterator[Definition]:
    """Distances of what the average gap is made of."""
    places = "{unlearning,remaining,testing}"
    for score in OF_FORGOTTEN:
        name = score.pattern.removeprefix("unlearning_")
        unit = POINTS_OF_CORRELATIONS if score.unit == CORRELATION else POINTS
        yield Definition(f"{head}.{places}_{name}", meaning, better, unit, tasks=score.tasks)
    yield Definition(f"{head}.membership.member_fraction", meaning, better, POINTS)
    yield Definition(f"{head}.average", average, better, POINTS_OF_CORRELATIONS)


GAPS = tuple(
    _distances(
        "gap",
        "distance of the metric from that of the retrained model, of several from their mean",
        "mean of all gaps",
        LOWER,
    )
)
NOISE = tuple(
    _distances(
        "noise",
        "mean distance of the metric between two retrained models",
        "mean of these distances",
        NO_BETTER,
    )
)


def _tofu() -> Iterator[Definition]:
    for sets, better in (("forget", CLOSER), ("{retain,authors,facts}", HIGHER)):
        told = "min(R, 1/R)" if sets == "forget" else "max(0, 1 − R)"
        share = "exp(−ℓ)" if sets == "forget" else "exp(−ℓ); of authors and facts its share among all answers"
        for part, meaning in (
            ("probability", f"mean of {share}"),
            ("rouge_l", "mean ROUGE-L recall of what the model answers itself"),
            (
                "truth_ratio",
                f"mean of {told}, R the geometric mean of wrong answers' p over the right one's",
            ),
            ("truth_ratio_arithmetic", f"mean of {told}, R with the arithmetic mean"),
        ):
            yield Definition(f"tofu.{sets}.{part}", meaning, better, FRACTION, T_CUT, LANGUAGE)


TOFU = (
    *_tofu(),
    Definition(
        "tofu.model_utility",
        "harmonic mean of probability, ROUGE-L and truth ratio of retain, authors and facts",
        HIGHER,
        FRACTION,
        tasks=LANGUAGE,
    ),
    Definition(
        "tofu.forget_quality",
        "p-value of Kolmogorov and Smirnov's test that the R of model and retrained model are alike",
        HIGHER,
        P_VALUE,
        tasks=LANGUAGE,
    ),
    Definition(
        "tofu.forget_distance",
        "the largest difference of the two distribution functions of R; 0: alike",
        LOWER,
        FRACTION,
        tasks=LANGUAGE,
    ),
)


def _attacks() -> Iterator[Definition]:
    """Metrics of before under an attack, and those of relearning alone."""
    of_forgotten = (*OF_FORGOTTEN, FORGET_LOSS)
    attacks = (
        ("{int8,int4}", "with rounded weights", (*SCORES, FORGET_LOSS, AUC)),
        ("paraphrase", "in other words", of_forgotten),
        ("relearn", "those held back, after the last step of relearning the others", of_forgotten),
    )
    for attack, how, found in attacks:
        for one in found:
            yield replace(one, pattern=f"attack.{attack}.{one.pattern}", meaning=f"{how}: {one.meaning}")
    yield Definition(
        "attack.relearn.loss.fall",
        "how far the loss of a forgotten example that was held back fell in these steps, in the mean",
        CLOSER,
        FALL,
        T,
    )
    yield Definition(
        "attack.relearn.steps",
        "steps of relearning that the model withstands before half of what was forgotten is back",
        HIGHER,
        STEPS,
    )


FAMILIES = {
    "Scores": SCORES,
    "Further scores": FURTHER,
    "Losses": LOSSES,
    "Membership": MEMBERSHIP,
    "Agreement with the retrained model": AGREEMENT,
    "Distance from the retrained model": GAPS,
    "Distance between retrained models": NOISE,
    "TOFU": TOFU,
    "Under attack": tuple(_attacks()),
}
