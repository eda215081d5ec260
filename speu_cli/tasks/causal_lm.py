"""Causal language modelling: the answer to a prompt, or a text as it is."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional
from transformers import PretrainedConfig

from speu_cli.data.columns import CAUSAL_LM
from speu_cli.data.examples import Examples
from speu_cli.tasks.base import Answered, Loss
from speu_cli.tasks.distributions import Distributions
from speu_cli.tasks.encoded import IGNORED, LABELS, Encoded
from speu_cli.tasks.learnt import Learnt
from speu_cli.tasks.log_odds import log_odds
from speu_cli.tasks.margins import LogOddsOfTokens, Margins
from speu_cli.tasks.memorisation import memorisation, token_figures
from speu_cli.tasks.preparation import Preparation
from speu_cli.tasks.prompts import encode_prompts
from speu_cli.tasks.texts import random_tokens


class CausalLanguageModelling:
    """Mean cross-entropy of the labelled tokens, each predicted from those before it.

    Logits are ``[n, tokens, vocabulary]``, labels ``[n, tokens]``, -100 where there is nothing to learn.
    """

    name = CAUSAL_LM
    score_name = "probability"
    generative = True
    margins: Margins = LogOddsOfTokens()
    terms: Sequence[Loss] = ()

    def encode(self, examples: Examples, how: Preparation) -> Encoded:
        """Tokenize prompts with their answers, or plain texts."""
        return encode_prompts(examples, how)

    def made_up(self, lengths: Sequence[int], config: PretrainedConfig) -> Encoded:
        """Random tokens, all of them to learn."""
        tokens = random_tokens(lengths, config.vocab_size)
        rows = [row | {LABELS: row["input_ids"]} for row in tokens.rows]
        return Encoded(rows, tokens.labels, tokens.padding | {LABELS: IGNORED}, tokens.ids, tokens.keys)

    def losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """ℓ of each example, ``[n]``: the mean over its labelled tokens."""
        examples, predicted, tokens = _labelled(logits, labels)
        of_tokens = functional.cross_entropy(predicted, tokens, reduction="none")
        return _mean(of_tokens, examples, self.sizes(labels))

    def strata(self, encoded: Encoded) -> Tensor:
        """0 for each: nothing is known of texts that makes some harder, int64 ``[n]``."""
        return torch.zeros(len(encoded), dtype=torch.int64)

    def sizes(self, labels: Tensor) -> Tensor:
        """Number of labelled tokens, ``[n]``: −ℓ · size is the answer's log-likelihood."""
        return labels[:, 1:].ne(IGNORED).sum(1)

    def answers(self, logits: Tensor, labels: Tensor, references: Sequence[object]) -> Answered:
        """What the scores and the attacks on language models are made of.

        Args:
            logits: ``[n, tokens, vocabulary]``.
            labels: ``[n, tokens]``.
            references: A ``Learnt`` for each example.

        Returns:
            ``probability``, the geometric mean of those of the labelled tokens; ``token_accuracy``, the share
            of them that the model would say; ``zlib``, −ℓ over the compressed length of the text; and those
            of :func:`memorisation`.
        """
        learnt, sizes = cast(Sequence[Learnt], references), self.sizes(labels).tolist()
        figures = token_figures(logits, labels)
        losses = self.losses(logits, labels)
        lengths = losses.new_tensor([one.compressed for one in learnt])
        return {
            "probability": (-losses).exp(),
            "token_accuracy": torch.stack([hits.mean() for hits in figures[2].split(sizes)]),
            "zlib": -losses / lengths,
            **memorisation(figures, sizes, [one.ended for one in learnt]),
        }

    def confidences(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Geometric mean of the probabilities of the labelled tokens, exp(−ℓ), ``[n]``."""
        return (-self.losses(logits, labels)).exp()

    def standings(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Log-odds of exp(−ℓ), the geometric mean of the tokens' probabilities: ``[n]`` in float64."""
        return log_odds(self.losses(logits.double(), labels))

    def classes(self, config: PretrainedConfig) -> int:
        """None: labels are texts."""
        return 0

    def distributions(self, logits: Tensor, labels: Tensor) -> Distributions | None:
        """Over the vocabulary, one for each labelled token."""
        examples, predicted, _ = _labelled(logits, labels)
        return Distributions(examples, predicted.log_softmax(-1))


def _labelled(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The labelled tokens of a batch, one after the other.

    Args:
        logits: ``[n, tokens, vocabulary]``.
        labels: ``[n, tokens]``.

    Returns:
        Number of the example, logits that predict the token, ``[m, vocabulary]`` in float32 at least, and the
        token.
    """
    following = labels[:, 1:]
    learnt = following.ne(IGNORED)
    predicted = logits[:, :-1][learnt]
    wide = torch.promote_types(predicted.dtype, torch.float32)
    return learnt.nonzero()[:, 0], predicted.to(wide), following[learnt]


def _mean(values: Tensor, examples: Tensor, sizes: Tensor) -> Tensor:
    return values.new_zeros(len(sizes)).index_add(0, examples, values) / sizes
