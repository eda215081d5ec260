"""Sequence classification, single texts and pairs, two or more classes."""

from collections.abc import Sequence

from transformers import PretrainedConfig

from speu_cli.data.examples import Examples
from speu_cli.tasks.classes import Classes
from speu_cli.tasks.encoded import Encoded
from speu_cli.tasks.preparation import Preparation
from speu_cli.tasks.texts import encode_texts, random_tokens


class Classification(Classes):
    """Classes of texts."""

    name = "classification"

    def encode(self, examples: Examples, how: Preparation) -> Encoded:
        """Tokenize the texts and look their labels up."""
        return encode_texts(examples, self.labels(examples, how.config), how)

    def made_up(self, lengths: Sequence[int], config: PretrainedConfig) -> Encoded:
        """Random tokens of the first class."""
        return random_tokens(lengths, config.vocab_size)
