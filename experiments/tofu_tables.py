"""TOFU with the small Llama of ``tofu.py``, beside the paper's Tables 10 to 12.

TOFU fixes the authors to forget: there is one draw, and no interval.
"""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from commands import Json
from data_cuts import NoDataError
from draws_table import NOTHING
from outcome import Outcome, table
from paper_numbers import numbers
from place import Place
from study import RETRAINED

SPLITS = {"table10": "forget01", "table11": "forget05", "table12": "forget10"}
SCRIPT = Path(__file__).with_name("tofu.py")
PLACED = {"method", "gap", "seconds"}
OBJECTIVES = ("MLR", "MLF", "NORM")


def run(place: Place, target: str) -> Outcome:
    """Run ``tofu.py`` on a split.

    Args:
        place: Where.
        target: ``table10`` to ``table12``.

    Returns:
        The table.

    Raises:
        NoDataError: The files of TOFU are not there, or the setting has no model for them.
    """
    if place.data is None or place.setting.name == "paper":
        raise NoDataError(
            "Tables 10 to 12 are made with SETTING=small and DATA alone: training all of Llama-2-7b, and "
            "retraining it for each split, takes several GPUs, and its weights are given out on request only"
        )
    source, split = place.data / "tofu", SPLITS[target]
    if not (source / "full.jsonl.gz").exists():
        raise NoDataError(f"{source} holds no full.jsonl.gz: DATA/tofu holds TOFU's files as NAME.jsonl.gz")
    work = place.work / "tofu"
    work.mkdir(parents=True, exist_ok=True)
    found = work / f"{split}-results.json"
    subprocess.run(
        [sys.executable, str(SCRIPT), str(source), str(work), "--splits", split, "-o", str(found)],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    rows: list[Json] = json.loads(found.read_text())["splits"][split]
    printed = numbers()[target]
    return Outcome(
        f"Table {target.removeprefix('table')}: TOFU {split}, a small Llama",
        [
            "A Llama of about four million parameters that was trained from nothing on TOFU's answers; in "
            "brackets the paper's number for Llama-2-7b-chat. TOFU fixes what is to be forgotten: one draw, "
            "no interval."
        ],
        {"": split_table(rows, printed)},
        findings(rows, printed),
        rows,
    )


def split_table(rows: Sequence[Json], printed: Mapping[str, Any]) -> str:
    """One line a method."""
    names = [name for name in rows[0] if name not in PLACED]
    lines = []
    for row in rows:
        cells = [row["method"]]
        for name in names:
            paper = _paper(printed, row["method"], name)
            ours = NOTHING if row[name] is None else f"{row[name]:.3g}"
            cells.append(ours if paper is None else f"{ours} ({paper:.3g})")
        cells.append(f"{row['gap']:.2f}" if "gap" in row else "")
        cells.append(f"{row['seconds']:.0f}" if "seconds" in row else "")
        lines.append(cells)
    return table(["method", *names, "gap", "time, s"], lines)


def _paper(printed: Mapping[str, Any], method: str, name: str) -> float | None:
    """The paper's number, if it has the method and the column."""
    if method not in printed or name not in printed["columns"]:
        return None
    return float(printed[method][printed["columns"].index(name)])


def findings(rows: Sequence[Json], printed: Mapping[str, Any]) -> list[str]:
    """The paper: masks keep more of the remaining answers; FT and SA forget nothing."""
    kept, forgotten = "remaining probability", "forget probability"
    ours = {row["method"]: row for row in rows if None not in (row[kept], row[forgotten])}
    found = []
    for method in ("GA", "GD", "DPO", "NPO"):
        for objective in OBJECTIVES:
            masked = f"{objective}-{method}"
            paper = (_paper(printed, masked, kept), _paper(printed, method, kept))
            if not {masked, method} <= ours.keys() or None in paper:
                continue
            found.append(
                f"{masked} less {method} in {kept}: {ours[masked][kept] - ours[method][kept]:+.2f}; the "
                f"paper's {(paper[0] or 0) - (paper[1] or 0):+.2f}."
            )
    for method in ("FT", "SA"):
        paper_one, paper_aim = _paper(printed, method, forgotten), _paper(printed, RETRAINED, forgotten)
        if {method, RETRAINED} <= ours.keys() and paper_one is not None and paper_aim is not None:
            distance = ours[method][forgotten] - ours[RETRAINED][forgotten]
            found.append(
                f"{method} less RT in {forgotten}: {distance:+.2f}; the paper's {paper_one - paper_aim:+.2f}."
            )
    return found
