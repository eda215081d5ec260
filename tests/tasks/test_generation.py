"""What language models answer by themselves."""

from pathlib import Path

import pytest
import torch
from tiny_tasks import TEXT_SIZES, modelling, prompts, write_prompts
from transformers import AutoModelForCausalLM

from speu_cli.data.columns import DataChoice
from speu_cli.data.sources.load import load_examples
from speu_cli.errors import InputError
from speu_cli.progress import Silent
from speu_cli.tasks.causal_lm import CausalLanguageModelling
from speu_cli.tasks.encoded import IGNORED, LABELS
from speu_cli.tasks.encoding import encode
from speu_cli.tasks.generation import generate, recalls, right_answers
from tiny import tiny_tokenizer, write_rows
from tiny_families import MORE

ASKED = DataChoice(task="causal-lm")
MOST = 5
ENCODERS = {"electra", "albert", "deberta-v2", "deberta-v2-shared", "modernbert", "vit"}


def test_answers_are_those_of_a_loop_over_tokens(tmp_path: Path) -> None:
    model, tokenizer = modelling(), tiny_tokenizer("llama")
    tokenizer.eos_token = "[SEP]"
    examples = load_examples(write_prompts(tmp_path / "p.jsonl", 9), ASKED)
    encoded = encode(examples, tokenizer, CausalLanguageModelling(), model, 32)
    expected = []
    for row in encoded.rows:
        tokens = [
            token for token, label in zip(row["input_ids"], row[LABELS], strict=True) if label == IGNORED
        ]
        answer: list[int] = []
        while len(answer) < MOST and answer[-1:] != [tokenizer.eos_token_id]:
            logits = model(input_ids=torch.tensor([[*tokens, *answer]])).logits[0, -1]
            answer.append(int(logits.argmax()))
        expected.append(tokenizer.decode(answer, skip_special_tokens=True))
    for size in (1, 1000):
        found = generate(model, tokenizer, encoded, MOST, batch_tokens=size, progress=Silent())
        assert found == expected
    assert any(expected)


@pytest.mark.parametrize("family", sorted(MORE.keys() - ENCODERS))
def test_answers_do_not_depend_on_the_prompts_beside_it(tmp_path: Path, family: str) -> None:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(MORE[family](**TEXT_SIZES)).eval()
    tokenizer = tiny_tokenizer("llama")
    examples = load_examples(write_prompts(tmp_path / "p.jsonl", 9), ASKED)
    encoded = encode(examples, tokenizer, CausalLanguageModelling(), model, 32)
    alone, together = (
        generate(model, tokenizer, encoded, MOST, batch_tokens=size, progress=Silent()) for size in (1, 1000)
    )
    assert together == alone
    assert len(set(alone)) > 1


def test_recall_counts_words_of_the_right_answer_in_their_order(tmp_path: Path) -> None:
    answers = ["The cats sat on a mat", "running", "one two three", "word"]
    rows = [row | {"answer": answer} for row, answer in zip(prompts(4), answers, strict=True)]
    examples = load_examples(str(write_rows(tmp_path / "p.jsonl", rows)), ASKED)
    encoded = encode(examples, tiny_tokenizer("llama"), CausalLanguageModelling(), modelling(), 32)
    assert right_answers(encoded) == answers
    found = recalls(["a cat sat on the mats, it did", "he runs", "three two one", ""], answers)
    assert found.tolist() == pytest.approx([4 / 6, 1, 1 / 3, 0])


def test_plain_texts_have_no_prompt(tmp_path: Path) -> None:
    examples = load_examples(
        str(write_rows(tmp_path / "t.jsonl", [{"id": "a", "text": "word1 word2"}])), ASKED
    )
    tokenizer = tiny_tokenizer("llama")
    encoded = encode(examples, tokenizer, CausalLanguageModelling(), modelling(), 32)
    with pytest.raises(InputError, match="'a' has no prompt"):
        generate(modelling(), tokenizer, encoded, MOST, batch_tokens=9, progress=Silent())
