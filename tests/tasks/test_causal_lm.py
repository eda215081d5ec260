"""Which tokens a language model learns, and the loss over them."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_tasks import TEMPLATE, modelling, write_prompts
from transformers import PreTrainedTokenizerFast

from laws import Case, largest_difference
from oracles import statistics as oracle
from speu_cli.data.columns import Columns, DataChoice
from speu_cli.data.examples import Example, Examples, Label
from speu_cli.data.sources.load import load_examples
from speu_cli.errors import InputError
from speu_cli.statistics.collector import collect
from speu_cli.statistics.wanted import Wanted, wanted_parameters
from speu_cli.structures.layout import find_layout
from speu_cli.tasks.base import logits_of
from speu_cli.tasks.causal_lm import CausalLanguageModelling
from speu_cli.tasks.encoded import IGNORED, LABELS
from speu_cli.tasks.encoding import Encoded, encode
from speu_cli.tasks.outcomes import outcomes
from speu_cli.tasks.prompts import template_of
from tiny import tiny_tokenizer

ASKED = DataChoice(task="causal-lm")
TASK = CausalLanguageModelling()


def examples_of(*pairs: tuple[str, Label]) -> Examples:
    rows = [Example(f"e{number}", text, None, label) for number, (text, label) in enumerate(pairs)]
    return Examples(rows, source="here", columns=Columns("id", "question", None, "answer"))


def encoded_of(
    examples: Examples,
    tokenizer: PreTrainedTokenizerFast | None = None,
    *,
    length: int = 32,
    chat: bool = True,
) -> Encoded:
    return encode(examples, tokenizer or tiny_tokenizer("llama"), TASK, modelling(), length, chat=chat)


def with_end(end: str | None = "[SEP]", template: str | None = None) -> PreTrainedTokenizerFast:
    """Adds nothing to a text by itself."""
    tokenizer = tiny_tokenizer("llama")
    tokenizer.backend_tokenizer.post_processor = None  # type: ignore[assignment]
    tokenizer.eos_token = end
    tokenizer.chat_template = template
    return tokenizer


def learnt(encoded: Encoded, tokenizer: PreTrainedTokenizerFast) -> list[list[str]]:
    """The labelled tokens; each label is its own token."""
    for row in encoded.rows:
        assert all(
            label in {IGNORED, token} for label, token in zip(row[LABELS], row["input_ids"], strict=True)
        )
    return [
        tokenizer.convert_ids_to_tokens([label for label in row[LABELS] if label != IGNORED])
        for row in encoded.rows
    ]


@pytest.fixture(params=[False, True], ids=["untied", "tied"])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    """Prompts with answers of different lengths."""
    model = modelling(tied=request.param).double()
    examples = load_examples(write_prompts(tmp_path / "p.jsonl", 11), ASKED)
    return Case(model, find_layout(model), TASK, encoded_of(examples))


def test_the_answer_alone_is_learnt_with_its_end() -> None:
    examples = examples_of(("word1 word2", "word3 word4"), ("word5 ", "word6"))
    for tokenizer, end in ((with_end(), ["[SEP]"]), (with_end(None), [])):
        encoded = encoded_of(examples, tokenizer)
        assert learnt(encoded, tokenizer) == [["word3", "word4", *end], ["word6", *end]]
        assert encoded.labels.tolist() == [2 + len(end), 1 + len(end)]
    tokenizer = tiny_tokenizer("llama")  # writes [CLS] … [SEP] itself, and knows of no end
    assert learnt(encoded_of(examples, tokenizer), tokenizer)[0] == ["word3", "word4", "[SEP]"]


def test_of_a_plain_text_all_tokens_but_the_first_are_learnt() -> None:
    tokenizer = with_end()
    encoded = encoded_of(examples_of(("word1 word2 word3", None)), tokenizer)
    _, labels = encoded.collate([0])
    assert TASK.sizes(labels).tolist() == encoded.labels.tolist() == [2]
    tokenizer = tiny_tokenizer("llama")
    tokenizer.chat_template = TEMPLATE  # says nothing of plain texts
    encoded = encoded_of(examples_of(("word1", None)), tokenizer)
    assert tokenizer.convert_ids_to_tokens(encoded.rows[0]["input_ids"]) == ["[CLS]", "word1", "[SEP]"]
    long = encoded_of(examples_of((" ".join(["word1"] * 50), None)), with_end(), length=8)
    assert (long.lengths, long.labels.tolist()) == ([8], [7])


def test_a_chat_template_writes_the_prompt_if_there_is_one() -> None:
    examples = examples_of(("word7", "word8 word9"))
    tokenizer = with_end(template=TEMPLATE)
    encoded = encoded_of(examples, tokenizer)
    tokens = tokenizer.convert_ids_to_tokens(encoded.rows[0]["input_ids"])
    assert tokens == ["word1", "word7", "word1", "word8", "word9", "[SEP]"]
    assert learnt(encoded, tokenizer) == [["word8", "word9", "[SEP]"]]
    without = encoded_of(examples, tokenizer, chat=False)
    assert tokenizer.convert_ids_to_tokens(without.rows[0]["input_ids"]) == [
        "word7",
        "word8",
        "word9",
        "[SEP]",
    ]


def test_templates_are_told_apart() -> None:
    one, other = template_of(with_end(template=TEMPLATE), chat=True), template_of(with_end(), chat=True)
    assert one is not None
    assert other is None
    assert template_of(with_end(template=TEMPLATE + " "), chat=True) != one
    assert template_of(with_end(template=TEMPLATE), chat=False) is None


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ raise_exception('no') }}", "cannot be written with"),
        ("{{ messages | length }} {{ messages[0]['content'] }}", "otherwise once an answer"),
        ("{% if %}", "cannot be written with"),
    ],
)
def test_a_template_that_cannot_be_used_is_refused(template: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        encoded_of(examples_of(("word7", "word8")), with_end(template=template))
    assert "--no-chat-template" in str(caught.value.hint)


def test_answers_that_would_be_cut_are_refused_by_id() -> None:
    whole, part, nothing = ("word1", "word2"), ("word1", "word2 " * 9), ("word1 " * 9, "word2")
    with pytest.raises(InputError, match=r"2 of 3 examples have .* more than 8 tokens .*: 'e1', 'e2'"):
        encoded_of(examples_of(whole, part, nothing), with_end(), length=8)


def test_examples_without_a_token_to_learn_are_refused_by_id() -> None:
    with pytest.raises(InputError, match=r"1 of 2 examples have no token to learn.*: 'e1'"):
        encoded_of(examples_of(("word1 word2", None), ("word1", None)), with_end(None))


def test_a_label_that_is_no_text_is_refused() -> None:
    with pytest.raises(InputError, match="'e0' has 3 for an answer"):
        encoded_of(examples_of(("word1", 3)))


def test_loss_size_confidence_and_scores_against_a_loop_over_tokens(case: Case) -> None:
    found = outcomes(case.model, TASK, case.encoded, batch_tokens=40)
    for i in range(len(case.encoded)):
        row = case.encoded.rows[i]
        logits = case.model(input_ids=torch.tensor([row["input_ids"]])).logits[0]
        terms, hits = [], []
        for t in range(1, len(row["input_ids"])):
            if row[LABELS][t] != IGNORED:
                terms.append(float(logits[t - 1].log_softmax(-1)[row["input_ids"][t]]))
                hits.append(int(logits[t - 1].argmax()) == row["input_ids"][t])
        mean = sum(terms) / len(terms)
        assert found.losses[i] == pytest.approx(-mean, rel=1e-10)
        assert found.confidences[i] == pytest.approx(2.718281828459045**mean, rel=1e-9)
        assert found.answers["probability"][i] == found.confidences[i]
        assert found.answers["token_accuracy"][i] == pytest.approx(sum(hits) / len(hits))
        inputs, labels = case.encoded.collate([i])
        whole = -TASK.losses(logits_of(case.model, inputs), labels) * TASK.sizes(labels)
        assert float(whole) == pytest.approx(sum(terms), rel=1e-10)


def test_statistics_are_those_of_autograd(case: Case) -> None:
    everything = wanted_parameters(case.model, case.layout, "all")
    expected = oracle.statistics(case.model, case.layout, TASK, case.encoded, everything)
    for tokens in (1, 5000):
        collected = collect(
            case.model,
            case.layout,
            TASK,
            case.encoded,
            batch_tokens=tokens,
            wanted=Wanted(dict.fromkeys(everything)),
        )
        assert largest_difference(collected.statistics, expected) < 1e-10


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"question": "q", "answer": "7"}, ("q", "7")),
        ({"prompt": "q", "completion": "c", "text": "t"}, ("q", "c")),
        ({"text": "t", "label": 1}, ("t", None)),
        ({"instruction": "i", "output": "o"}, ("i", "o")),
    ],
)
def test_columns_are_found(row: dict[str, Any], expected: tuple[str, str | None], tmp_path: Path) -> None:
    names, cells = ",".join(row), ",".join(map(str, row.values()))
    (tmp_path / "rows.csv").write_text(f"{names}\n{cells}\n")
    (example,) = load_examples(str(tmp_path / "rows.csv"), ASKED)
    assert (example.text, example.label) == expected


def test_a_question_without_an_answer_column_is_refused_but_if_it_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("question\nq\n")
    with pytest.raises(InputError, match="no label column"):
        load_examples(str(tmp_path / "rows.csv"), ASKED)
    asked = DataChoice(task="causal-lm", label_column="")
    assert load_examples(str(tmp_path / "rows.csv"), asked)[0].label is None
