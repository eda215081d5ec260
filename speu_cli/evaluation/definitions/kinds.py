"""Tasks that have a metric, the sets that it is told of, and what its interval is made by."""

from speu_cli.data.columns import CAUSAL_LM, IMAGE_CLASSIFICATION, QUESTION_ANSWERING

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
