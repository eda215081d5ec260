"""``speu eval`` with several models: what is compared, what is refused, and what it cost."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import special, stats
from tiny_tasks import modelling
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

import speu_cli
from memorised import FORGET, Home, memorised
from speu_cli.cli.main import main
from speu_cli.data.examples import Examples
from speu_cli.evaluation.metric import Metric
from speu_cli.stages import session as session_module
from speu_cli.stages.evaluation_identity import Identity
from speu_cli.tasks.distributions import Kept
from tiny import WORDS, tiny_checkpoint, tiny_model, tiny_tokenizer, write_ids, write_rows

OPTIONS, ARTIFACT = 2, 4
REFERENCES = 3


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A model with its data, a model made to forget, and retrained ones: others of the same make."""
    home = memorised(tmp_path_factory.mktemp("home"))
    speu_cli.fisher(home.model, home.path("train.jsonl"), home.folder / "fisher")
    speu_cli.unlearn(
        home.model,
        home.folder / "fisher",
        home.path("train.jsonl"),
        home.path("ids.txt"),
        home.folder / "unlearned",
        sparsity=0.5,
        rate=1e-4,
    )
    for number in range(REFERENCES):
        tiny_checkpoint(home.folder / f"retrained-{number}", seed=number + 1)
    return home


def sets(home: Home) -> tuple[str, str, str]:
    return home.path("train.jsonl"), home.path("ids.txt"), home.path("test.jsonl")


def references(home: Home, count: int = REFERENCES) -> list[Path]:
    return [home.folder / f"retrained-{number}" for number in range(count)]


def probabilities(folder: Path, home: Home) -> np.ndarray:
    """Of the classes of the forget set, by the library alone, ``[n, 2]``."""
    texts = [row["text"] for row in home.rows("train.jsonl")[:FORGET]]
    inputs = tiny_tokenizer("bert")(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        logits = AutoModelForSequenceClassification.from_pretrained(folder)(**inputs).logits
    return special.softmax(logits.double().numpy(), axis=1)


def test_rows_and_models_are_identified(home: Home, tmp_path: Path) -> None:
    """Rows in another order are the same, a changed row is another; the weights are those of each folder."""

    def identity(train: str) -> Identity:
        given = {"original": home.model, "reference": references(home, 1)}
        return speu_cli.evaluate(home.folder / "unlearned", train, *sets(home)[1:], **given).identity

    rows = home.rows("train.jsonl")
    turned, changed = str(tmp_path / "turned.jsonl"), str(tmp_path / "changed.jsonl")
    write_rows(Path(turned), rows[::-1])
    write_rows(Path(changed), [*rows[:-1], {**rows[-1], "text": "another text"}])
    here, there, elsewhere = identity(sets(home)[0]), identity(turned), identity(changed)
    assert there == here
    assert {name for name in here.sets if here.sets[name] != elsewhere.sets[name]} == {"remaining"}
    assert (here.task, here.score) == ("classification", "accuracy")
    assert list(here.weights) == ["model", "original", "reference"]
    assert len(set(here.weights.values())) == len(here.weights)


def test_several_references(home: Home) -> None:
    result = speu_cli.evaluate(
        home.folder / "unlearned", *sets(home), original=home.model, reference=references(home)
    )
    assert result.original is not None
    assert result.reference is not None
    assert result.gaps is not None
    assert result.noise is not None
    assert len(result.references) == REFERENCES
    each = [one["unlearning_accuracy"].value for one in result.references]
    assert result.reference["unlearning_accuracy"].value == pytest.approx(np.mean(each))
    gap = 100 * abs(result.model["unlearning_accuracy"].value - np.mean(each))
    assert result.gaps["gap.unlearning_accuracy"] == pytest.approx(gap)
    assert result.inside_noise is not None
    for name, inside in result.inside_noise.items():
        assert inside is (result.gaps[f"gap.{name}"] <= result.noise[f"noise.{name}"])
    # One of the references alone is what it is beside the others.
    alone = speu_cli.evaluate(home.folder / "unlearned", *sets(home), reference=references(home)[0])
    assert alone.reference == alone.references[0] == result.references[0]
    assert (alone.noise, alone.inside_noise) == (None, None)


def test_agreement_is_that_of_the_librarys_own_predictions(home: Home) -> None:
    result = speu_cli.evaluate(home.folder / "unlearned", *sets(home), reference=references(home))
    mine = probabilities(home.folder / "unlearned", home)
    theirs = [probabilities(folder, home) for folder in references(home)]
    labels = [row["label"] for row in home.rows("train.jsonl")[:FORGET]]
    positions = np.arange(FORGET)
    expected = {
        "agreement.kl.forget": np.mean([stats.entropy(one, mine, axis=1) for one in theirs]),
        "agreement.confidence.forget": np.mean([np.abs(one - mine)[positions, labels] for one in theirs]),
        "agreement.loss_rank.forget": np.mean(
            [stats.spearmanr(one[positions, labels], mine[positions, labels]).statistic for one in theirs]
        ),
    }
    for name, value in expected.items():
        assert result.model[name].value == pytest.approx(value, rel=1e-4)
    floor = [
        stats.entropy(one, other, axis=1).mean() for one in theirs for other in theirs if one is not other
    ]
    assert result.reference is not None
    assert result.reference["agreement.kl.forget"].value == pytest.approx(np.mean(floor), rel=1e-4)
    assert result.model["agreement.kl.remaining"].n == result.remaining_examples


def test_cost(home: Home) -> None:
    unlearned, original = home.folder / "unlearned", home.model
    result = speu_cli.evaluate(unlearned, *sets(home), original=original)
    files = [home.folder / name for name in ("train.jsonl", "ids.txt", "test.jsonl")]
    for folder in (unlearned, original):
        files += [path for path in folder.iterdir() if path.name != "speu-mask.safetensors"]
    assert result.bytes_read == sum(path.stat().st_size for path in files)
    assert result.seconds > 0
    assert result.forgetting is not None
    assert result.forgetting.method == "spe-so"
    assert result.forgetting.selected == {"heads": (4, 8), "filters": (24, 48)}
    assert result.forgetting.bytes_written == sum(path.stat().st_size for path in unlearned.iterdir())
    record = json.loads((unlearned / "speu.json").read_text())
    assert result.forgetting.parameters_changed == record["parameters_changed"]
    assert 0 < record["parameters_changed"] < result.forgetting.parameters_total
    assert speu_cli.evaluate(original, *sets(home)).forgetting is None


def test_a_split_is_encoded_once_for_models_with_one_tokenizer(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded = []
    real = session_module.encode

    def counting(examples: Examples, *arguments: object) -> object:
        encoded.append(examples)
        return real(examples, *arguments)

    monkeypatch.setattr(session_module, "encode", counting)
    speu_cli.evaluate(home.folder / "unlearned", *sets(home), original=home.model, reference=references(home))
    assert len(encoded) == 3
    # Words swapped in the tokenizer: other tokens, so each has its own, and no examples are compared by them.
    other = tmp_path / "other"
    shutil.copytree(references(home)[0], other)
    words = json.loads((other / "tokenizer.json").read_text())
    vocabulary = words["model"]["vocab"]
    vocabulary[WORDS[0]], vocabulary[WORDS[1]] = vocabulary[WORDS[1]], vocabulary[WORDS[0]]
    (other / "tokenizer.json").write_text(json.dumps(words))
    del encoded[:]
    result = speu_cli.evaluate(home.folder / "unlearned", *sets(home), reference=other)
    assert len(encoded) == 6
    assert math.isnan(result.model["agreement.kl.forget"].value)
    assert math.isfinite(result.model["agreement.loss_rank.forget"].value)


def test_test_data_of_one_class(home: Home, tmp_path: Path) -> None:
    rows = [row | {"label": 1} for row in home.rows("test.jsonl")]
    test = str(write_rows(tmp_path / "test.jsonl", rows))
    train, ids, _ = sets(home)
    result = speu_cli.evaluate(home.model, train, ids, test)
    assert math.isfinite(result.model["membership.entropy.member_fraction"].value)
    assert math.isfinite(result.model["testing_accuracy"].value)


def test_a_language_model_beside_one_that_was_retrained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"id": str(n), "text": " ".join(WORDS[n : n + 3 + n % 4])} for n in range(12)]
    data = str(write_rows(tmp_path / "train.jsonl", rows))
    ids = str(write_ids(tmp_path / "ids.txt", ["2", "5", "7"]))
    for seed in (0, 1):
        modelling(seed=seed).save_pretrained(tmp_path / str(seed))
        tiny_tokenizer("llama").save_pretrained(tmp_path / str(seed))

    def measured() -> dict[str, Metric]:
        return speu_cli.evaluate(tmp_path / "0", data, ids, data, reference=tmp_path / "1").model

    divergences = []
    for number in (2, 5, 7):
        tokens = tiny_tokenizer("llama")(rows[number]["text"], return_tensors="pt")
        with torch.no_grad():
            q, p = (
                AutoModelForCausalLM.from_pretrained(tmp_path / name)(**tokens).logits[0, :-1].double()
                for name in "01"
            )
        each = stats.entropy(special.softmax(p, axis=-1), special.softmax(q, axis=-1), axis=-1)
        divergences.append(each.mean())
    found = measured()["agreement.kl.forget"]
    assert found.n == 3
    assert found.value == pytest.approx(np.mean(divergences), rel=1e-4)
    # With room for one example the number is that of an example.
    monkeypatch.setattr("speu_cli.stages.measuring.Kept", lambda: Kept(1))
    one = measured()["agreement.kl.forget"]
    assert one.n == 1
    assert any(one.value == pytest.approx(value, rel=1e-4) for value in divergences)


def refused(home: Home, capfd: pytest.CaptureFixture[str], code: int, *changes: str, **options: str) -> str:
    """The one line with which it is refused."""
    data = {"data": home.path("train.jsonl"), "forget": home.path("ids.txt"), "test": home.path("test.jsonl")}
    arguments = [text for name, value in (data | options).items() for text in (f"--{name}", value)]
    assert main(["eval", str(home.folder / "unlearned"), *arguments, *changes, "-q"]) == code
    out, err = capfd.readouterr()
    assert out == ""
    assert "Traceback" not in err
    return err


def test_references_that_are_none_are_refused(
    home: Home, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    deeper = tmp_path / "deeper"
    tiny_model("bert", layers=3).save_pretrained(deeper)
    tiny_tokenizer("bert").save_pretrained(deeper)
    err = refused(home, capfd, ARTIFACT, reference=str(deeper))
    assert "num hidden layers are 3, expected 2" in err
    err = refused(home, capfd, ARTIFACT, reference=str(tiny_checkpoint(tmp_path / "roberta", "roberta")))
    assert "architecture is RobertaForSequenceClassification, expected BertForSequenceClassification" in err
    err = refused(home, capfd, ARTIFACT, reference=str(tiny_checkpoint(tmp_path / "three", outputs=3)))
    assert "labels are LABEL_0, LABEL_1, LABEL_2, expected LABEL_0, LABEL_1" in err
    same = str(references(home)[0])
    err = refused(home, capfd, ARTIFACT, "--reference", same, reference=same)
    assert "hold the same weights" in err


def test_a_loss_that_is_no_number_names_the_example(
    home: Home, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken"
    tiny_checkpoint(broken)
    model = tiny_model("bert")
    model.get_parameter("classifier.weight").data.fill_(3e38)  # finite, but its products are not
    model.save_pretrained(broken)
    err = refused(home, capfd, ARTIFACT, reference=str(broken))
    assert "broken: the loss of example 'row-0-0' of the forget set is" in err


@pytest.mark.parametrize("content", ["", "\n"])
def test_an_empty_test_set_is_refused(
    home: Home, tmp_path: Path, capfd: pytest.CaptureFixture[str], content: str
) -> None:
    (tmp_path / "test.jsonl").write_text(content)
    assert "test.jsonl" in refused(home, capfd, OPTIONS, test=str(tmp_path / "test.jsonl"))


def test_text_of_several_references(home: Home, capfd: pytest.CaptureFixture[str]) -> None:
    train, ids, test = sets(home)
    arguments = ["eval", str(home.folder / "unlearned"), "--data", train, "--forget", ids, "--test", test]
    for folder in references(home, 2):
        arguments += ["--reference", str(folder)]
    assert main([*arguments, "-q"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[0].split() == ["metric", "model", "reference", "gap", "noise", "inside"]
    average = next(line for line in lines if line.startswith("gap.average"))
    assert average.split()[-1] in {"yes", "no"}
    told = {line.split("  ")[0] for line in lines}
    assert told >= {"references", "read", "method", "heads changed", "parameters changed", "written"}
