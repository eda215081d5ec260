"""What is known of an answer token by token, against loops in float64."""

import zlib

import pytest
import torch
from tiny_tasks import modelling, prompts

from oracles import language as oracle
from speu_cli.data.columns import Columns
from speu_cli.data.examples import Example, Examples
from speu_cli.tasks import memorisation
from speu_cli.tasks.causal_lm import CausalLanguageModelling
from speu_cli.tasks.encoded import Encoded
from speu_cli.tasks.encoding import encode
from speu_cli.tasks.memorisation import MIN_K, token_figures
from speu_cli.tasks.outcomes import outcomes
from tiny import tiny_tokenizer

TASK = CausalLanguageModelling()
END = 2


def encoded_of(count: int = 9, *, end: str | None = "[SEP]") -> Encoded:
    tokenizer = tiny_tokenizer("llama")
    tokenizer.eos_token = end
    rows = [Example(row["id"], row["question"], None, row["answer"]) for row in prompts(count)]
    plain = Example("plain", "word1 word2 word3", None, None)
    examples = Examples([*rows, plain], source="here", columns=Columns("id", "question", None, "answer"))
    return encode(examples, tokenizer, TASK, modelling(), 32)


@pytest.mark.parametrize("end", ["[SEP]", None])
@pytest.mark.parametrize("at_once", [1, 1000, 1 << 24])
def test_all_ingredients_against_loops(
    end: str | None, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memorisation, "AT_ONCE", at_once)
    model, encoded = modelling().double(), encoded_of(end=end)
    found = outcomes(model, TASK, encoded, batch_tokens=60)
    for i, row in enumerate(encoded.rows):
        figures = oracle.answer_figures(model, row, END if end else None)
        logs, standards, hits = zip(*figures, strict=True)
        expected = {
            "min_k": oracle.mean_of_least(logs, MIN_K),
            "min_k_plus_plus": oracle.mean_of_least(standards, MIN_K),
            "exact_memorisation": sum(hits) / len(hits),
            "extraction_strength": oracle.extraction_strength(hits),
        }
        assert {name: found.answers[name][i] for name in expected} == pytest.approx(expected, rel=1e-9)
    texts = [row["answer"] for row in prompts(9)] + ["word1 word2 word3"]
    sizes = [len(zlib.compress(text.encode())) for text in texts]
    assert found.answers["zlib"].tolist() == pytest.approx(
        [-loss / size for loss, size in zip(found.losses, sizes, strict=True)]
    )


def of_hits(hits: list[int], *, ended: bool = False) -> dict[str, float]:
    """Of an answer of which these tokens are the likeliest ones."""
    figures = torch.zeros(3, len(hits), dtype=torch.float64)
    figures[2] = torch.tensor(hits)
    found = memorisation.memorisation(figures, [len(hits)], [ended])
    return {name: float(values[0]) for name, values in found.items()}


@pytest.mark.parametrize(
    ("hits", "ended", "exact", "strength"),
    [
        ([1, 1, 1, 1], False, 1, 1),
        ([0, 1, 1, 1], False, 0.75, 0.75),
        ([1, 1, 1, 0], False, 0.75, 0),  # nothing of it is said to the end
        ([1, 1, 1, 0], True, 1, 1),  # but what ends the text is no part of it
        ([0, 1, 1], True, 0.5, 0.5),
        ([0, 0], False, 0, 0),
        ([1], True, 1, 1),  # there is nothing else
        ([0], True, 0, 0),
    ],
)
def test_extraction_strength_and_exact_memorisation(
    hits: list[int], ended: bool, exact: float, strength: float
) -> None:
    found = of_hits(hits, ended=ended)
    assert (found["exact_memorisation"], found["extraction_strength"]) == (exact, strength)


def test_examples_do_not_see_each_other() -> None:
    figures = torch.randn(3, 12, dtype=torch.float64).abs().round()
    together = memorisation.memorisation(figures, [5, 1, 6], [True, True, False])
    for i, (start, size, ended) in enumerate([(0, 5, True), (5, 1, True), (6, 6, False)]):
        alone = memorisation.memorisation(figures[:, start : start + size], [size], [ended])
        assert {name: values[i] for name, values in together.items()} == {
            name: values[0] for name, values in alone.items()
        }


def test_words_that_are_ruled_out_leave_the_others_as_they_are() -> None:
    """A model may give a word no chance at all: 0 · log 0 is 0."""
    logits = torch.randn(1, 4, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([[-100, 3, 1, 2]])
    ruled_out = torch.cat([logits, torch.full((1, 4, 1), -torch.inf, dtype=torch.float64)], -1)
    assert torch.equal(token_figures(ruled_out, labels), token_figures(logits, labels))


def test_sureness_has_a_least_spread() -> None:
    """Where all words are equally likely every log p is the mean."""
    figures = token_figures(torch.zeros(1, 3, 8, dtype=torch.float64), torch.tensor([[-100, 3, 1]]))
    assert figures[1].tolist() == pytest.approx([0, 0], abs=1e-9)
    near = torch.zeros(1, 2, 8, dtype=torch.float64)
    near[0, 0, 3] = 1e-6
    found = token_figures(near, torch.tensor([[-100, 3]]))
    expected = oracle.token_figures(near[0, :1], [3])
    assert float(found[1, 0]) == pytest.approx(expected[0][1], rel=1e-5)


def test_half_precision_is_widened() -> None:
    logits = torch.randn(2, 5, 9).bfloat16()
    labels = torch.tensor([[-100, 1, 2, 3, 4], [-100, -100, 5, 6, 7]])
    figures = token_figures(logits, labels)
    assert figures.dtype == torch.float32
    assert torch.equal(figures, token_figures(logits.float(), labels))


def test_the_text_that_is_learnt_goes_with_its_example() -> None:
    encoded = encoded_of()
    picked = encoded.select([9, 0])
    assert [(one.text, one.asked, one.ended) for one in picked.references] == [  # type: ignore[attr-defined]
        ("word1 word2 word3", False, True),
        (prompts(9)[0]["answer"], True, True),
    ]
    assert not any(one.ended for one in encoded_of(end=None).references)  # type: ignore[attr-defined]
