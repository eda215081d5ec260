"""What a report is made from, made up: hostile ids and texts, every figure there; and what is published."""

import json
from dataclasses import replace
from typing import Any

import numpy as np

from speu_cli.cli.output import as_json
from speu_cli.data.columns import Columns
from speu_cli.data.examples import Example, Examples
from speu_cli.evaluation.attack_names import under_attack
from speu_cli.evaluation.attacks import curve, measure_changed, of_relearning
from speu_cli.evaluation.definitions.lookup import definitions_of
from speu_cli.evaluation.forgetting import Forgetting
from speu_cli.evaluation.gaps import gaps
from speu_cli.evaluation.gates import check, parse
from speu_cli.evaluation.metric import Metric
from speu_cli.evaluation.metrics import measure
from speu_cli.evaluation.noise import mean_of_references, noise
from speu_cli.evaluation.report.contents import Contents, Known, Relearning
from speu_cli.evaluation.report.movement import Movement
from speu_cli.stages.attacks import AttackResult, Paraphrased, Relearned
from speu_cli.stages.evaluate import EvaluateResult, Evidence
from speu_cli.stages.evaluation_identity import Encoding, Identity
from speu_cli.tasks.outcomes import Outcomes

SCRIPT = "<script>document.title='owned'</script>"
HOSTILE = [
    SCRIPT,
    '"><img src=http://example.invalid/x onerror=alert(1)>',
    "\x1b[31mred\x1b[0m\x07",
    "\u202egnp.exe",
    "a|b\n# heading [link](http://example.invalid) `code`",
    "{{ 7 * 7 }}{% raw %}",
]
IDENTITY = Identity(
    task="classification",
    score="accuracy",
    seed=0,
    encoding=Encoding(max_length=128, doc_stride=None, template=None),
    sets={"forget": "f" * 64, "remaining": "a" * 64, "test": "e" * 64},
    weights={"model": "1" * 64, "original": "0" * 64, "reference": "2" * 64},
)
COLUMNS = Columns(id="id", text="text", text_pair=None, label="label")


def examples(count: int, name: str) -> Examples:
    """Some with ids and texts that would do harm."""
    odd = HOSTILE if name == "forget" else []
    ids = [*odd, *(f"{name}-{number}" for number in range(count))][:count]
    return Examples([Example(one, f"text of {one}", None, 0) for one in ids], source=name, columns=COLUMNS)


def outcomes(count: int, seed: int, loss: float) -> Outcomes:
    """Of a classifier, around a mean loss."""
    draw = np.random.default_rng(seed)
    losses = draw.exponential(loss, count)
    answers = {"predictions": (losses > 0.7).astype(float), "labels": np.zeros(count)}
    return Outcomes(losses, np.exp(-losses), answers)


def contents(
    *,
    forget: int = 12,
    others: int = 60,
    references: int = 1,
    require: tuple[str, ...] = ("testing_accuracy>=0.1",),
    show_text: bool = True,
    attacked: bool = True,
) -> Contents:
    """All that a report can show."""
    sizes = {"forget": forget, "remaining": others, "test": others}
    losses = {"original": 0.1, "model": 0.5, **{f"reference {n}": 0.5 for n in range(1, references + 1)}}
    found = {
        model: {
            place: outcomes(count, number, loss if place == "forget" else 0.3)
            for number, (place, count) in enumerate(sizes.items())
        }
        for model, loss in losses.items()
    }
    metrics: dict[str, dict[str, Metric]] = {
        model: measure(*sets.values(), score_name="accuracy") for model, sets in found.items()
    }
    distances = gaps(metrics["model"], metrics["reference 1"]) if references else None
    tried = losses if attacked else {}
    curves = {model: curve(_relearnt(loss), "accuracy") for model, loss in tried.items()}
    for model, course in curves.items():
        rounded = measure_changed(**found[model], score_name="accuracy", seed=0)
        metrics[model] |= {**under_attack("int4", rounded), **of_relearning(course, 0.3, "accuracy")}
    draw = np.random.default_rng(0)
    selected = {f"heads/{layer}": draw.random(12) < 0.2 for layer in range(4)}
    selected |= {f"filters/{layer}": draw.random(300) < 0.2 for layer in range(4)}
    movement = [Movement(layer, "attention.self.query", 0.1 * layer, 2.0) for layer in range(4)]
    return Contents(
        metrics=metrics,
        gaps=distances,
        gates=check([parse(one) for one in require], {**metrics["model"], **(distances or {})}),
        sets={place: examples(count, place) for place, count in sizes.items()},
        outcomes=found,
        record={"kind": "unlearning", "method": "spe-so", "selected": {"heads": [2, 48]}, "note": SCRIPT},
        known=Known(selected, [*movement, Movement(None, "classifier", 0.0, 0.0)]),
        show_text=show_text,
        relearning=Relearning(4, 8, "accuracy", 0.3, curves) if attacked else None,
        definitions=definitions_of(metrics["model"]),
    )


def _relearnt(loss: float) -> list[tuple[int, Outcomes]]:
    return [(step, outcomes(8, step, loss / (1 + step))) for step in (0, 1, 2, 4, 5)]


def _relearned(made: Contents) -> Relearned:
    assert made.relearning is not None
    curves = made.relearning.curves
    return Relearned(4, 8, rows="b" * 64, steps=5, learning_rate=5e-5, level=0.3, curves=curves)


def published(references: int = 1) -> dict[str, Any]:
    """What ``speu eval --json`` would print of it."""
    made = contents(references=references, require=("testing_accuracy>=0.1", "nothing>=1"))
    each = [made.metrics[name] for name in made.references]
    weights = {**IDENTITY.weights, **{f"reference-{number}": str(number) * 64 for number in range(2, 6)}}
    names = ["model", "original", "reference", *(f"reference-{number}" for number in range(2, 6))]
    identity = replace(IDENTITY, weights={name: weights[name] for name in names[: 2 + references]})
    result = EvaluateResult(
        model=dict(made.metrics["model"]),
        original=dict(made.metrics["original"]),
        reference=mean_of_references(each) if each else None,
        gaps=None if made.gaps is None else dict(made.gaps),
        gates=list(made.gates),
        forget_examples=12,
        remaining_examples=60,
        test_examples=60,
        seconds=1.5,
        peak_memory_bytes=1000,
        identity=identity,
        evidence=Evidence({}, {}),
        references=[dict(one) for one in each],
        noise=noise(each),
        forgetting=Forgetting("spe-so", {"heads": (2, 48)}, 100, 1000, 5_000),
        attacks=AttackResult(_relearned(made), Paraphrased(7, 5, "c" * 64)),
    )
    found: dict[str, Any] = json.loads(json.dumps(as_json(result.as_json()), allow_nan=False))
    return found
