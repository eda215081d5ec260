"""What ``speu eval`` has to be given for a metric, beyond a model and its three sets."""

REFERENCE, SECOND_REFERENCE, ORIGINAL = "--reference", "a second --reference", "--original"
GENERATE, RELEARN, PARAPHRASES = "--generate", "--relearn", "--paraphrases"


def perturbed(name: str) -> str:
    """The option for a set of questions with wrong answers."""
    return f"--perturbed {name}=SOURCE"


def quantize(precision: str) -> str:
    """The option for rounded weights."""
    return f"--quantize {precision}"


# By the beginning of a name; all that fit count.
_NEEDS = {
    "gap.": (REFERENCE,),
    "agreement.": (REFERENCE,),
    "noise.": (REFERENCE, SECOND_REFERENCE),
    "membership.privleak": (REFERENCE,),
    "rouge_l.": (GENERATE,),
    **{f"tofu.{name}.": (perturbed(name),) for name in ("forget", "retain", "authors", "facts")},
    "tofu.model_utility": (perturbed("retain"), perturbed("authors"), perturbed("facts")),
    "tofu.forget_quality": (perturbed("forget"), REFERENCE),
    "tofu.forget_distance": (perturbed("forget"), REFERENCE),
    **{f"attack.{name}.": (quantize(name),) for name in ("int8", "int4")},
    "attack.paraphrase.": (PARAPHRASES,),
    "attack.relearn.": (RELEARN,),
    "attack.relearn.steps": (ORIGINAL,),
}


def needs(name: str) -> list[str]:
    """Tell which options a metric needs.

    Args:
        name: Of the metric.

    Returns:
        They; none for what every evaluation of the task has.
    """
    return [
        option for beginning, options in _NEEDS.items() if name.startswith(beginning) for option in options
    ]
