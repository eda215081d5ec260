"""What attacks on membership find."""

from dataclasses import replace

from speu_cli.evaluation.definitions.definition import CLOSER, FRACTION, PER_CENT, Definition
from speu_cli.evaluation.definitions.kinds import AREA, AREAS, CLASSES, LANGUAGE, WILSON_FITTED

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
