"""What an experiment found: a table, its figures, what can be said of them, and every draw."""

import json
import math
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import torch
from commands import Json
from matplotlib.figure import Figure


@dataclass
class Outcome:
    """A table or figure of the paper, measured again.

    Attributes:
        title: Of it.
        notes: How it was measured.
        tables: As Markdown, by heading; '' for none.
        findings: What agrees with the paper and what does not, a sentence each.
        rows: Each draw.
        pictures: By the end of their file name.
    """

    title: str
    notes: list[str]
    tables: dict[str, str] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)
    rows: list[Json] = field(default_factory=list)
    pictures: dict[str, Figure] = field(default_factory=dict)

    def markdown(self) -> str:
        """All but the draws."""
        parts = [f"## {self.title}", *self.notes]
        for heading, table in self.tables.items():
            parts += [f"### {heading}", table] if heading else [table]
        parts += ["\n".join(f"- {sentence}" for sentence in self.findings)] if self.findings else []
        return "\n\n".join(parts) + "\n"

    def write(self, folder: Path, name: str) -> None:
        """Write JSON, Markdown and pictures as ``DATE-NAME…``."""
        folder.mkdir(parents=True, exist_ok=True)
        stem = f"{date.today().isoformat()}-{name}"
        told: Json = {"date": date.today().isoformat(), "machine": machine(), "title": self.title}
        told |= {"notes": self.notes, "findings": self.findings, "rows": [_plain(row) for row in self.rows]}
        (folder / f"{stem}.json").write_text(json.dumps(told, indent=1, allow_nan=False) + "\n")
        (folder / f"{stem}.md").write_text(self.markdown(), encoding="utf-8")
        for end, picture in self.pictures.items():
            for suffix in ("svg", "png"):
                picture.savefig(folder / f"{stem}{end}.{suffix}", dpi=120)


def _plain(row: Json) -> Json:
    """JSON has no NaN: what was not measured is null."""
    absent = {name for name, value in row.items() if isinstance(value, float) and math.isnan(value)}
    return {**row, **dict.fromkeys(absent)}


def machine() -> str:
    """What it was measured on."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return f"{platform.machine()}, {platform.system()}, {os.cpu_count()} cores, {device}"


def table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, ["---"] * len(heads), *lines))
