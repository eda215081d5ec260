"""The public commands, one process each, as a user would run them."""

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True)
class Commands:
    """Runs commands in a folder; every one whose answer is there already is skipped."""

    work: Path

    def speu(self, *arguments: str, keep: str) -> Json:
        """Run a command and keep its JSON answer, with the time of the process, as ``keep.json``."""
        kept = self.work / f"{keep}.json"
        if not kept.exists():
            started = time.perf_counter()
            command = [sys.executable, "-m", "speu_cli", *arguments, "--json"]
            answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            result = {"result": json.loads(answer), "process_seconds": time.perf_counter() - started}
            temporary = kept.with_suffix(".tmp")
            temporary.write_text(json.dumps(result))
            temporary.rename(kept)
        found: Json = json.loads(kept.read_text())
        return found
