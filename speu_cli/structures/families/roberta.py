"""RoBERTa: BERT's layers under another name; positions are counted from after the padding token's."""

from dataclasses import replace

from speu_cli.structures.families import bert

FAMILY = replace(bert.FAMILY, model_type="roberta", reserved_positions=2)
