"""What a language model answers by itself, and how much of the right answer is in it."""

from collections.abc import Iterable, Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from speu_cli.data.batches import batches_by_length
from speu_cli.errors import InputError
from speu_cli.progress import Progress
from speu_cli.tasks.encoded import IGNORED, LABELS, Encoded, Row
from speu_cli.tasks.learnt import Learnt

FloatArray = npt.NDArray[np.float64]


@torch.inference_mode()
def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    encoded: Encoded,
    most_tokens: int,
    *,
    batch_tokens: int,
    progress: Progress,
) -> list[str]:
    """Let a model answer prompts, taking the likeliest token each time.

    Args:
        model: In eval mode.
        tokenizer: Its tokenizer.
        encoded: Prompts with their answers.
        most_tokens: Of an answer.
        batch_tokens: Tokens in a batch.
        progress: Is told of every batch.

    Returns:
        The answers, in the order of the examples.

    Raises:
        InputError: An example has no prompt.
    """
    prompts = [_prompt(row) for row in encoded.rows]
    asked = [cast(Learnt, one).asked for one in encoded.references]
    pairs = zip(encoded.ids, prompts, asked, strict=True)
    odd = next((one for one, tokens, there in pairs if not (there and tokens)), None)
    if odd is not None:
        raise InputError(
            f"example {odd!r} has no prompt to answer, expected one", hint="leave --generate out"
        )
    end = tokenizer.eos_token_id
    config = GenerationConfig(
        do_sample=False,
        max_new_tokens=most_tokens,
        eos_token_id=end,
        pad_token_id=tokenizer.pad_token_id if tokenizer.pad_token_id is not None else end,
    )
    batches = batches_by_length([len(prompt) + most_tokens for prompt in prompts], max_tokens=batch_tokens)
    steps: Iterable[list[int]] = progress.track(
        batches, total=sum(batch.tokens for batch in batches), description="answering"
    )
    answers = [""] * len(prompts)
    writer: Any = model  # what generates is mixed into classes, and typed for them alone
    for indices in steps:
        tokens, present = _padded([prompts[i] for i in indices], config.pad_token_id or 0)
        found = writer.generate(
            tokens.to(model.device), attention_mask=present.to(model.device), generation_config=config
        )
        texts = tokenizer.batch_decode(found[:, tokens.shape[1] :], skip_special_tokens=True)
        for i, text in zip(indices, texts, strict=True):
            answers[i] = text
    return answers


def recalls(answers: Sequence[str], right: Sequence[str]) -> FloatArray:
    """ROUGE-L recall: the share of the right answer's words that an answer has in their order, stemmed.

    Args:
        answers: What was answered.
        right: The right answers.

    Returns:
        0 … 1, float64 ``[n]``.
    """
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rougeL"], use_stemmer=True)
    pairs = zip(right, answers, strict=True)
    return np.array([scorer.score(text, answer)["rougeL"].recall for text, answer in pairs])


def right_answers(encoded: Encoded) -> list[str]:
    """The texts that prompts should be answered with."""
    return [cast(Learnt, one).text for one in encoded.references]


def _prompt(row: Row) -> list[int]:
    """The tokens before the first that is learnt."""
    learnt = next(number for number, label in enumerate(row[LABELS]) if label != IGNORED)
    return row["input_ids"][:learnt]


def _padded(prompts: Sequence[list[int]], filler: int) -> tuple[Tensor, Tensor]:
    """Prompts with filler on their left, int64 ``[n, longest]``, and what of it is no filler."""
    longest = max(map(len, prompts))
    tokens = [[filler] * (longest - len(prompt)) + prompt for prompt in prompts]
    present = [[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    return torch.tensor(tokens), torch.tensor(present)
