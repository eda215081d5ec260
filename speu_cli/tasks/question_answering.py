"""Extractive question answering: the answer is a span of the context, or there is none."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional
from transformers import PretrainedConfig

from speu_cli.data.columns import QUESTION_ANSWERING
from speu_cli.data.examples import Examples
from speu_cli.tasks.base import Answered, Loss
from speu_cli.tasks.best_span import best_span
from speu_cli.tasks.distributions import Distributions
from speu_cli.tasks.encoded import Encoded
from speu_cli.tasks.log_odds import log_odds
from speu_cli.tasks.margins import LogOdds, Margins
from speu_cli.tasks.preparation import Preparation
from speu_cli.tasks.span_scores import best_of
from speu_cli.tasks.texts import random_tokens
from speu_cli.tasks.windows import ABSENT, Question, encode_windows

TERMS = 2  # start and end


@dataclass(frozen=True)
class Term:
    """The cross-entropy of the start or of the end alone, summed over the windows of an example.

    Attributes:
        place: 0 for the start, 1 for the end.
    """

    place: int

    def losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Of each example, ``[n]``."""
        return _of_positions(logits, labels)[..., self.place].sum(1)


class QuestionAnswering:
    """Mean of the start's and the end's cross-entropy, summed over the windows of an example.

    Logits are ``[n · windows, tokens, 2]``, labels ``[n, windows, 2]``; a window without the answer has the
    first token, [CLS], for both.
    """

    name = QUESTION_ANSWERING
    score_name = "f1"
    generative = False
    margins: Margins = LogOdds()
    terms: Sequence[Loss] = (Term(0), Term(1))

    def encode(self, examples: Examples, how: Preparation) -> Encoded:
        """Tokenize questions and contexts as windows, and find the answers in them."""
        return encode_windows(examples, how)

    def made_up(self, lengths: Sequence[int], config: PretrainedConfig) -> Encoded:
        """Random tokens, one window each, without an answer."""
        tokens = random_tokens(lengths, config.vocab_size)
        labels = torch.zeros(len(tokens), 1, TERMS, dtype=torch.int64)
        return Encoded(tokens.rows, labels, tokens.padding, tokens.ids, tokens.keys, [1] * len(tokens))

    def losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """ℓ of each example, ``[n]``: the sum over its windows."""
        return (_of_positions(logits, labels).sum(-1) / TERMS).sum(1)

    def strata(self, encoded: Encoded) -> Tensor:
        """1 for a question that has an answer, 0 for one that has none, int64 ``[n]``."""
        return torch.tensor(
            [bool(one.answers) for one in cast(Sequence[Question], encoded.references)]
        ).long()

    def sizes(self, labels: Tensor) -> Tensor:
        """2 for each example, ``[n]``: −2·ℓ is the sum over its windows of log p(start) + log p(end)."""
        return torch.full_like(labels[:, 0, 0], TERMS)

    def answers(self, logits: Tensor, labels: Tensor, references: Sequence[object]) -> Answered:
        """Exact match and F1 of the answers.

        Args:
            logits: ``[n · windows, tokens, 2]``.
            labels: ``[n, windows, 2]``.
            references: A ``Question`` for each example.

        Returns:
            ``exact`` and ``f1``; where questions may have no answer also those of the best span,
            ``span_exact`` and ``span_f1``, the ``margin`` of having no answer, and ``answerable``.
        """
        found: list[dict[str, float]] = []
        of_examples = logits.unflatten(0, labels.shape[:2])
        for of_example, question in zip(of_examples, cast(Sequence[Question], references), strict=True):
            best, optional = best_span(of_example, question), question.may_lack_answer
            of_span = best_of(best.text, question.answers, may_lack_answer=optional)
            says_none = optional and best.margin > 0
            right = best_of("", question.answers, may_lack_answer=True) if says_none else of_span
            scores = {"exact": right[0], "f1": right[1]}
            if optional:
                scores |= {"span_exact": of_span[0], "span_f1": of_span[1], "margin": best.margin}
                scores |= {"answerable": float(bool(question.answers))}
            found.append(scores)
        names = found[0] if found else {}
        return {name: torch.tensor([one[name] for one in found], dtype=torch.float64) for name in names}

    def confidences(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Geometric mean of the probabilities of start and end over all windows, ``[n]``."""
        windows = labels[..., 0].ne(ABSENT).sum(1)
        return (-self.losses(logits, labels) / windows).exp()

    def standings(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Log-odds of exp(−ℓ), ``[n]`` in float64."""
        return log_odds(self.losses(logits.double(), labels))

    def classes(self, config: PretrainedConfig) -> int:
        """None: labels are places."""
        return 0

    def distributions(self, logits: Tensor, labels: Tensor) -> Distributions | None:
        """Of start and end over the tokens, both for each window."""
        places = labels.ne(ABSENT).reshape(-1, TERMS)  # [n · windows, 2]
        owners = torch.arange(len(labels), device=labels.device).repeat_interleave(labels.shape[1] * TERMS)
        over_tokens = logits.transpose(1, 2).log_softmax(-1)  # [n · windows, 2, tokens]
        return Distributions(owners[places.flatten()], over_tokens[places])


def _of_positions(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of start and end in each window, 0 in one that is not there: ``[n, windows, 2]``."""
    of_positions = functional.cross_entropy(
        logits.transpose(1, 2).flatten(0, 1),
        labels.flatten(),
        ignore_index=ABSENT,
        reduction="none",
    )
    return of_positions.reshape(labels.shape)
