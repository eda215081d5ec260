"""The summary of a report, for a reader who does not train models."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from speu_cli.evaluation.metric import Metric
from speu_cli.evaluation.report.contents import FORGET, MODEL, ORIGINAL, REMAINING, TEST, Contents
from speu_cli.evaluation.report.visible import visible
from speu_cli.evaluation.table import cell

GUESS = 0.5
FEW = 100  # forgotten rows below which intervals are so wide that a reader should be told
LONGEST = 120
_METHODS = {
    "spe-so": "one second-order step on the parts of the model that matter to the forgotten examples",
    "so": "one second-order step on all attention heads and filters",
    "ssd": "selective synaptic dampening: weights that matter most to the forgotten examples were shrunk",
    "retrain": "training anew without the forgotten examples",
}


@dataclass(frozen=True)
class Summary:
    """Sentences for a reader who does not train models.

    Attributes:
        asked: What was asked for.
        done: What was done.
        verdict: The outcome in a few words.
        passed: Whether all requirements are met; None if there was none.
        findings: What was found.
        limits: What it does not show.
    """

    asked: str
    done: str
    verdict: str
    passed: bool | None
    findings: list[str]
    limits: list[str]


def summarize(contents: Contents) -> Summary:
    """Say what was asked, what was done, what was found, and what that does not show.

    Args:
        contents: Of the report.

    Returns:
        The summary.
    """
    gates = contents.gates
    met = sum(gate.passed for gate in gates)
    passed = met == len(gates) if gates else None
    verdict = {
        None: "No requirement was set, so nothing passed or failed",
        True: f"All {len(gates)} requirements are met" if len(gates) > 1 else "The requirement is met",
        False: f"{len(gates) - met} of {len(gates)} requirements not met",
    }[passed]
    count = len(contents.sets[FORGET])
    examples = "one training example" if count == 1 else f"{count:,} training examples"
    return Summary(
        asked=f"The model was to forget {examples}, and to stay as good as it was on everything else.",
        done=_done(contents.record),
        verdict=verdict,
        passed=passed,
        findings=[*_of_scores(contents), *_of_references(contents), *_of_membership(contents)],
        limits=[*_limits(contents)],
    )


def _done(record: Mapping[str, Any] | None) -> str:
    if record is None:
        return "How this model was made is not recorded beside it."
    if record.get("kind") == "training":
        return "The record beside this model says that it was trained, and not that anything was removed."
    method = visible(str(record.get("method")), LONGEST)
    how = _METHODS.get(method, f"training, method {method}")
    selected = record.get("selected")
    parts = []
    if isinstance(selected, Mapping):
        for kind, counts in selected.items():
            if isinstance(counts, list | tuple) and len(counts) == len(("of", "all")):
                parts.append(f"{counts[0]} of {counts[1]} {kind}")
    within = f" Changes were confined to {visible(' and '.join(parts), LONGEST)}." if parts else ""
    return f"The record beside this model says: {how} (method {method}).{within}"


def _of_scores(contents: Contents) -> Iterator[str]:
    """How the first score stands, set by set."""
    where = {
        FORGET: ("unlearning_", "On the examples to forget"),
        REMAINING: ("remaining_", "On the other training examples"),
        TEST: ("testing_", "On examples that it never saw"),
    }
    for begins, place in where.values():
        name = next((one for one in contents.metrics[MODEL] if one.startswith(begins)), None)
        if name is None:
            continue
        score = name.removeprefix(begins).replace("_", " ")
        others = [
            f"{_short(name, contents.metric(model, name))} {_of_model(model)}"
            for model in contents.metrics
            if model != MODEL
        ]
        beside = f" ({', '.join(others)})" if others else ""
        yield f"{place} its {score} is {_short(name, contents.metric(MODEL, name))}{beside}."


def _of_references(contents: Contents) -> Iterator[str]:
    if not contents.references:
        return
    gap = (contents.gaps or {}).get("gap.average", math.nan)
    if math.isfinite(gap):
        yield (
            f"On average it is {gap:.2f} percentage points away from a model that was trained without the "
            f"examples; 0 would be the same.{_of_noise(contents, gap)}"
        )
    else:
        yield "The average distance from the retrained model could not be computed."


def _of_noise(contents: Contents, gap: float) -> str:
    """How far retraining is from retraining, if that is known."""
    floor = (contents.noise or {}).get("noise.average", math.nan)
    if not math.isfinite(floor):
        return ""
    told = "no further than that" if gap <= floor else "further than that"
    return (
        f" {contents.retrained} such models are {floor:.2f} points away from each other on average: this one "
        f"is {told} from their mean."
    )


def _of_membership(contents: Contents) -> Iterator[str]:
    found = contents.metric(MODEL, "membership.auc")
    if found is None or not math.isfinite(found.value):
        yield "Whether an attacker could still recognise the examples could not be computed."
        return
    told = f"with 95 % confidence {found.low:.2f} to {found.high:.2f}; 0.5 is guessing"
    if found.low > GUESS:
        means = "forgotten examples can still be told from unseen ones better than by guessing"
    elif found.high < GUESS:
        means = "forgotten examples look less known than unseen ones, which can give them away as well"
    else:
        means = "this attack could not tell forgotten examples from unseen ones"
    before = contents.metric(ORIGINAL, "membership.auc")
    was = f" Before it was {before.value:.2f}." if before and math.isfinite(before.value) else ""
    yield f"An attack on membership scores {found.value:.2f} ({told}): {means}.{was}"


def _limits(contents: Contents) -> Iterator[str]:
    if not contents.references:
        yield (
            "There is no model retrained without the examples to compare with, so whether this model behaves "
            "as if it had never seen them is not known."
        )
    if contents.retrained > 1:
        yield (
            f"The tables show the mean of the {contents.retrained} retrained models, the figures and the "
            "forgotten rows the first of them."
        )
    if contents.metric(ORIGINAL, "loss.forget") is None:
        yield "The model before is not compared, so what has changed is not known."
    if len(contents.sets[FORGET]) < FEW:
        yield (
            f"With {len(contents.sets[FORGET])} forgotten examples the figures are uncertain: "
            "look at the intervals."
        )
    missing = [name for name, metric in contents.metrics[MODEL].items() if not math.isfinite(metric.value)]
    if missing:
        yield f"Not computed: {visible(', '.join(missing), 10 * LONGEST)}."
    yield (
        "Only simple attacks were tried. That one fails does not show that every attack would fail; this is "
        "a measurement, not a proof or a certificate."
    )
    yield "Other copies, backups, logs and files that were made from the examples are not covered."


def _short(name: str, metric: Metric | None) -> str:
    return cell(name, metric).partition(" [")[0]


def _of_model(name: str) -> str:
    return "before" if name == ORIGINAL else "retrained" if name == "reference" else name
