"""Model families as data, one small file each; a new one is imported and listed here."""

from speu_cli.structures.families import bert, distilbert, llama, roberta, vit
from speu_cli.structures.family import Family

FAMILIES: dict[str, Family] = {
    family.model_type: family
    for family in (bert.FAMILY, roberta.FAMILY, distilbert.FAMILY, llama.FAMILY, vit.FAMILY)
}
