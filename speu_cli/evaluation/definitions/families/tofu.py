"""The measures of TOFU."""

from collections.abc import Iterator

from speu_cli.evaluation.definitions.definition import CLOSER, FRACTION, HIGHER, LOWER, P_VALUE, Definition
from speu_cli.evaluation.definitions.kinds import LANGUAGE, T_CUT


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
