"""Model families as data, one small file each; a new one is imported and listed here."""

from speu_cli.structures.families import (
    albert,
    bert,
    deberta_v2,
    distilbert,
    electra,
    experts,
    gpt2,
    gpt_neox,
    like_llama,
    llama,
    modernbert,
    olmo2,
    opt,
    phi3,
    roberta,
    vit,
)
from speu_cli.structures.family import Family

FAMILIES: dict[str, Family] = {
    family.model_type: family
    for family in (
        bert.FAMILY,
        roberta.FAMILY,
        distilbert.FAMILY,
        electra.FAMILY,
        albert.FAMILY,
        deberta_v2.FAMILY,
        modernbert.FAMILY,
        vit.FAMILY,
        gpt2.FAMILY,
        opt.FAMILY,
        gpt_neox.FAMILY,
        llama.FAMILY,
        *like_llama.FAMILIES,
        phi3.FAMILY,
        *experts.FAMILIES,
        olmo2.FAMILY,
    )
}
