"""One evaluated model, from what ``speu eval --json`` printed."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from speu_cli.evaluation.attack_names import PARAPHRASE, RELEARN
from speu_cli.evaluation.forgetting import Forgetting
from speu_cli.evaluation.metric import Metric
from speu_cli.evaluation.runs.fields import LONGEST, Fields

Metrics = Mapping[str, Metric]
Settings = Mapping[str, float | str]
ROWS = "rows"
SETS = ("forget", "remaining", "test")
_OF_SETS = ("unlearning", "remaining", "testing")
_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)*")


@dataclass(frozen=True)
class Measured:
    """What was measured on what; runs are comparable where it is the same.

    Attributes:
        task: Name of the task.
        score: Name of its score.
        sizes: Examples of ``forget``, ``remaining`` and ``test``.
        rows: SHA-256 of the rows of each.
        encoding: How rows became inputs.
        answer_tokens: Most tokens of what a language model answered itself; None if it was not asked to.
    """

    task: str
    score: str
    sizes: Mapping[str, int]
    rows: Mapping[str, str]
    encoding: Mapping[str, object]
    answer_tokens: int | None


@dataclass(frozen=True)
class Side:
    """What a run says of one of its models, or of several retrained ones.

    Attributes:
        metrics: Of the model; of several their means.
        each: Of each of them.
        weights: SHA-256 of the weights of each.
    """

    metrics: Metrics
    each: Sequence[Metrics]
    weights: Sequence[str]


@dataclass(frozen=True)
class Run:
    """An evaluation.

    Attributes:
        name: Of the run.
        source: Where it was read.
        measured: What was measured on what.
        seed: Of the random choices.
        model: The model.
        original: The model before, if it was given.
        reference: The retrained model or models, if given.
        forgetting: What the request changed that made the model, if that is recorded.
        attacks: With which settings it was attacked, by attack; not those whose name says it all.
    """

    name: str
    source: str
    measured: Measured
    seed: int
    model: Side
    original: Side | None
    reference: Side | None
    forgetting: Forgetting | None
    attacks: Mapping[str, Settings]


def run_from(values: Mapping[str, object], name: str, source: str) -> Run:
    """Read an evaluation.

    Args:
        values: The object that was printed.
        name: Of the run.
        source: Where it comes from: messages name it.

    Returns:
        The run.

    Raises:
        ArtifactError: It is not the result of an evaluation, or one without what a comparison needs.
    """
    fields = Fields(source, values)
    if "model" not in values or "gates" not in values:
        raise fields.refused("this is not what speu eval --json prints")
    if "identity" not in values:
        raise fields.refused("it does not say which rows were measured: run speu eval once more")
    identity = fields.inside("identity")
    weights = identity.inside("weights")
    measured = _measured(fields, identity)
    model = _metrics(fields.inside("model"), measured.score)
    original = fields.inside_or_none("original")
    return Run(
        name=name,
        source=source,
        measured=measured,
        seed=identity.count("seed"),
        model=Side(model, [model], [weights.text("model")]),
        original=None if original is None else _single(original, measured.score, weights),
        reference=_reference(fields, measured.score, weights),
        forgetting=_forgetting(fields.inside_or_none("forgetting")),
        attacks=_attacks(fields.inside_or_none("attacks")),
    )


def _measured(fields: Fields, identity: Fields) -> Measured:
    encoding, rows = identity.inside("encoding"), identity.inside("sets")
    return Measured(
        task=identity.text("task"),
        score=identity.text("score"),
        sizes={place: fields.count(f"{place}_examples") for place in SETS},
        rows={place: rows.text(place) for place in SETS},
        encoding=dict(sorted(encoding.values.items())),
        answer_tokens=identity.count_or_none("answer_tokens"),
    )


def _single(metrics: Fields, score: str, weights: Fields) -> Side:
    found = _metrics(metrics, score)
    return Side(found, [found], [weights.text("original")])


def _reference(fields: Fields, score: str, weights: Fields) -> Side | None:
    metrics = fields.inside_or_none("reference")
    if metrics is None:
        return None
    each = [_metrics(one, score) for one in fields.items("references")]
    names = ["reference" if number == 1 else f"reference-{number}" for number in range(1, len(each) + 1)]
    return Side(_metrics(metrics, score), each, [weights.text(name) for name in names])


def _metrics(fields: Fields, score: str) -> dict[str, Metric]:
    """All metrics of a model, whose gaps are those of the score: there on all three sets, and no other."""
    scores = [f"{place}_{score}" for place in _OF_SETS]
    for name in scores:
        fields.inside(name)
    other = next((name for name in fields.values if name.startswith(_OF_SETS) and name not in scores), None)
    if other is not None:
        raise fields.refused(f"{other[:LONGEST]!r} in {fields.place} is of another score than {score}")
    odd = next((name for name in fields.values if not _NAME.fullmatch(name)), None)
    if odd is not None:
        raise fields.refused(f"{odd[:LONGEST]!r} in {fields.place} is not the name of a metric")
    found = {name: fields.inside(name) for name in fields.values}
    return {
        name: Metric(one.number("value"), one.number("low"), one.number("high"), one.count("n"))
        for name, one in found.items()
    }


def _forgetting(fields: Fields | None) -> Forgetting | None:
    if fields is None:
        return None
    selected, changed = fields.inside_or_none("selected"), fields.values.get("parameters_changed")
    return Forgetting(
        method=fields.text("method"),
        selected=None if selected is None else {kind: _pair(selected, kind) for kind in selected.values},
        parameters_changed=None if changed is None else fields.count("parameters_changed"),
        parameters_total=fields.count("parameters_total"),
        bytes_written=fields.count("bytes_written"),
    )


def _attacks(fields: Fields | None) -> dict[str, Settings]:
    if fields is None:
        return {}
    found: dict[str, Settings] = {}
    if (relearned := fields.inside_or_none("relearned")) is not None:
        _require_rows(relearned)
        found[RELEARN] = {
            "steps": relearned.count("steps"),
            "learning_rate": relearned.number("learning_rate"),
            "shown": relearned.count("shown"),
            ROWS: relearned.text(ROWS),
        }
    if (paraphrased := fields.inside_or_none("paraphrased")) is not None:
        _require_rows(paraphrased)
        found[PARAPHRASE] = {"examples": paraphrased.count("examples"), ROWS: paraphrased.text(ROWS)}
    return found


def _require_rows(attack: Fields) -> None:
    """Refuse what an earlier version printed, which did not say how it attacked."""
    if ROWS not in attack.values:
        raise attack.refused(f"{attack.place} does not say with which rows: run speu eval once more")


def _pair(fields: Fields, kind: str) -> tuple[int, int]:
    value = fields.values[kind]
    if not isinstance(value, list) or len(value) != len(("of", "all")):
        raise fields.refused(f"{fields.place} of {kind!r} is not two whole numbers")
    both = Fields(fields.source, {"selected": value[0], "of": value[1]}, fields.place)
    return both.count("selected"), both.count("of")
