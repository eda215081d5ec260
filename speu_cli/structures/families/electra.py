"""ELECTRA: BERT's layers under another name."""

from dataclasses import replace

from speu_cli.structures.families import bert

FAMILY = replace(bert.FAMILY, model_type="electra")
