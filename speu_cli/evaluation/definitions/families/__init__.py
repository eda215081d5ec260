"""All metrics that ``speu eval`` can tell, family by family: one row each."""

from speu_cli.evaluation.definitions.families.attacks import ATTACKS
from speu_cli.evaluation.definitions.families.membership import MEMBERSHIP
from speu_cli.evaluation.definitions.families.references import AGREEMENT, GAPS, NOISE
from speu_cli.evaluation.definitions.families.scores import FURTHER, LOSSES, SCORES
from speu_cli.evaluation.definitions.families.tofu import TOFU

FAMILIES = {
    "Scores": SCORES,
    "Further scores": FURTHER,
    "Losses": LOSSES,
    "Membership": MEMBERSHIP,
    "Agreement with the retrained model": AGREEMENT,
    "Distance from the retrained model": GAPS,
    "Distance between retrained models": NOISE,
    "TOFU": TOFU,
    "Under attack": ATTACKS,
}
