"""OLMo 2: Llama's filters; its heads cannot be changed one at a time."""

from dataclasses import replace

from speu_cli.structures.families import llama
from speu_cli.structures.family import Unserved

FAMILY = replace(
    llama.FAMILY,
    model_type="olmo2",
    heads=Unserved(
        "q_norm and k_norm normalise over all heads at once, so what changes one head changes all"
    ),
)
