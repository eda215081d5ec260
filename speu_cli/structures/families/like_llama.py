"""Mistral, Qwen2, Qwen3 and the text model of Gemma 3: Llama's layers under other names.

Qwen2's keys have a bias, which rotary positions turn, so it is a head's. What normalises the queries and keys
of Qwen3 and Gemma 3 is one vector for all heads, and belongs to none.
"""

from dataclasses import replace

from speu_cli.structures.families import llama

FAMILIES = tuple(
    replace(llama.FAMILY, model_type=model_type)
    for model_type in ("mistral", "qwen2", "qwen3", "gemma3_text")
)
