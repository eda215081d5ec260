"""Where examples come from: one file a format, each giving a table of rows."""

from speu_cli.data.sources.load import load_examples

__all__ = ["load_examples"]
