"""TOFU's measures as ``speu eval`` gives them, against loops over a tiny model's tokens."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from rouge_score.rouge_scorer import RougeScorer
from tiny_tasks import modelling, prompts, save, write_prompts

from oracles import language as oracle
from speu_cli.cli.main import main
from speu_cli.stages.evaluate import evaluate
from tiny import tiny_tokenizer, write_ids, write_rows

FORGET = ["p-0-0", "p-0-1", "p-0-2"]
SETS = ("forget", "retain", "authors", "facts")


def perturbed_rows(count: int, seed: int) -> list[dict[str, Any]]:
    """Questions with one to three wrong answers each."""
    others = [row["answer"] for row in prompts(4 * count, seed=seed + 50)]
    return [
        row
        | {
            "paraphrased_answer": others[4 * i],
            "perturbed_answer": others[4 * i + 1 : 4 * i + 2 + i % 3],
        }
        for i, row in enumerate(prompts(count, seed=seed))
    ]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tofu")
    for seed, name in enumerate(("model", "reference")):
        save(folder / name, modelling(seed=seed))
    write_prompts(folder / "train.jsonl", 9)
    write_prompts(folder / "test.jsonl", 6, seed=1)
    write_ids(folder / "ids.txt", FORGET)
    for seed, name in enumerate(SETS):
        write_rows(folder / f"{name}.jsonl", perturbed_rows(5, seed + 2))
    return folder


def arguments(home: Path, *options: str) -> list[str]:
    sets = ["--data", str(home / "train.jsonl"), "--forget", str(home / "ids.txt")]
    return ["eval", str(home / "model"), *sets, "--test", str(home / "test.jsonl"), *options]


def loss_of(model: Any, question: str, answer: str) -> float:
    """Mean −log p of the answer's tokens and the last one."""
    tokenizer = tiny_tokenizer("llama")
    asked, whole = (tokenizer(text)["input_ids"] for text in (question, f"{question} {answer}"))
    start = len(asked) - 1
    logits = model(input_ids=torch.tensor([whole])).logits[0, start - 1 : -1]
    figures = oracle.token_figures(logits, whole[start:])
    return -sum(log for log, *_ in figures) / len(figures)


def recall_of(model: Any, row: dict[str, Any], most: int) -> float:
    tokenizer = tiny_tokenizer("llama")
    tokens = tokenizer(row["question"])["input_ids"][:-1]
    asked = len(tokens)
    while len(tokens) < asked + most:
        tokens.append(int(model(input_ids=torch.tensor([tokens])).logits[0, -1].argmax()))
    answer = tokenizer.decode(tokens[asked:], skip_special_tokens=True)
    return RougeScorer(["rougeL"], use_stemmer=True).score(row["answer"], answer)["rougeL"].recall


def expected_of(home: Path, model: Any, name: str) -> tuple[dict[str, float], list[float]]:
    """Measures of a set, and the truth ratios."""
    rows = [json.loads(line) for line in (home / f"{name}.jsonl").read_text().splitlines()]
    likely, folded, ratios = [], [], []
    for row in rows:
        own = loss_of(model, row["question"], row["answer"])
        wrong = [loss_of(model, row["question"], text) for text in row["perturbed_answer"]]
        told = row["answer" if name in {"authors", "facts"} else "paraphrased_answer"]
        ratio = oracle.geometric_ratio(loss_of(model, row["question"], told), wrong)
        p = math.exp(-own)
        likely.append(p / (p + sum(math.exp(-x) for x in wrong)) if name in {"authors", "facts"} else p)
        folded.append(min(ratio, 1 / ratio) if name == "forget" else max(0, 1 - ratio))
        ratios.append(ratio)
    n = len(rows)
    recalled = sum(recall_of(model, row, 4) for row in rows) / n
    parts = {"probability": sum(likely) / n, "rouge_l": recalled, "truth_ratio": sum(folded) / n}
    return {f"tofu.{name}.{part}": value for part, value in parts.items()}, ratios


def test_all_measures_against_loops(home: Path) -> None:
    result = evaluate(
        home / "model",
        str(home / "train.jsonl"),
        str(home / "ids.txt"),
        str(home / "test.jsonl"),
        reference=home / "reference",
        generate=4,
        perturbed={name: str(home / f"{name}.jsonl") for name in SETS},
    )
    ratios = []
    assert result.reference is not None
    assert result.identity.answer_tokens == 4
    for seed, metrics in enumerate((result.model, result.reference)):
        model = modelling(seed=seed)
        expected: dict[str, float] = {}
        for name in SETS:
            of_set, of_questions = expected_of(home, model, name)
            expected |= of_set
            ratios += [of_questions] if name == "forget" else []
        nine = [value for name, value in expected.items() if ".forget." not in name]
        found = {name: metrics[name].value for name in expected}
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-6)
        utility = oracle.harmonic_mean(nine) if all(nine) else 0
        assert metrics["tofu.model_utility"].value == pytest.approx(utility, rel=1e-4)
    assert result.model["tofu.forget_distance"].value == pytest.approx(oracle.distance(*ratios))
    assert result.model["tofu.forget_quality"].value == pytest.approx(oracle.p_value(*ratios))
    assert result.reference["tofu.forget_quality"].value == 1
    areas = [metrics["membership.min_k.auc"].value for metrics in (result.model, result.reference)]
    leak = result.model["membership.privleak"].value
    assert leak == pytest.approx(100 * (areas[1] - areas[0]) / (1 - areas[1]))
    assert result.reference["membership.privleak"].value == 0


def test_the_command_tells_the_sets_that_were_given(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--perturbed", f"forget={home / 'forget.jsonl'}", "--generate", "2"]
    gate = ["--require", "tofu.forget.truth_ratio>=0"]
    assert main(arguments(home, *given, *gate, "--json")) == 0
    measured = json.loads(capsys.readouterr().out)["model"]
    told = [name for name, metric in measured.items() if name.startswith("tofu.") and metric["value"]]
    assert "tofu.forget.probability" in told
    assert measured["tofu.model_utility"]["value"] is None
    assert measured["tofu.forget_quality"]["value"] is None  # there is no reference
    assert not any(name.startswith("tofu.retain") for name in measured)
    assert main(arguments(home)) == 0
    assert "tofu" not in capsys.readouterr().out


def test_missing_wrong_answers_are_named_with_exit_code_4(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = perturbed_rows(3, 0)
    del rows[1]["perturbed_answer"]
    source = write_rows(tmp_path / "odd.jsonl", rows)
    assert main(arguments(home, "--perturbed", f"facts={source}")) == 4
    assert (
        f"odd.jsonl: 1 of 3 examples have no perturbed_answer: '{rows[1]['id']}'" in capsys.readouterr().err
    )


@pytest.mark.parametrize("odd", ["forget", "forget=", "others=p.jsonl"])
def test_an_option_that_names_no_set_is_refused(
    odd: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(home, "--perturbed", odd)) == 2
    assert "NAME one of forget, retain, authors, facts" in capsys.readouterr().err


def test_a_set_that_is_given_twice_is_refused(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    twice = ["--perturbed", "facts=a.jsonl", "--perturbed", "facts=b.jsonl"]
    assert main(arguments(home, *twice)) == 2
    assert "--perturbed facts= is there twice" in capsys.readouterr().err
