"""A model with its statistics, a state for its requests, and requests to it."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from memorised import Home, memorised
from speu_cli.stages.collection import CollectionChoice
from speu_cli.stages.fisher import fisher
from speu_cli.stages.requests.serve import serve_request
from speu_cli.stages.requests.served import ServedResult
from speu_cli.stages.requests.start import StepChoice, WatchChoice, start_requests
from speu_cli.stages.unlearn import Method
from speu_cli.unlearning.requests.settled import Mode
from tiny import write_ids

FIXED = StepChoice(rate=1e-4, max_overshoot=100)


def home_with_statistics(folder: Path, collection: CollectionChoice | None = None) -> Home:
    made = memorised(folder)
    fisher(
        made.model,
        made.path("train.jsonl"),
        made.folder / "fisher.safetensors",
        holdout=made.path("dev.jsonl"),
        collection=collection,
    )
    return made


def begin(
    home: Home,
    state: Path,
    method: Method = "spe-so",
    step: StepChoice | None = FIXED,
    *,
    mode: Mode = "aided",
    watch: WatchChoice | None = None,
    max_examples: int | None = None,
) -> Path:
    start_requests(
        state,
        home.model,
        home.folder / "fisher.safetensors",
        home.path("train.jsonl"),
        method=method,
        step=step,
        mode=mode,
        watch=watch,
        max_examples=max_examples,
    )
    return state


def request(
    state: Path, ids: list[str], output: str, *, request_id: str | None = None, rate: float | None = None
) -> ServedResult:
    write_ids(state.parent / "asked.txt", ids)
    asked, model = str(state.parent / "asked.txt"), state.parent / output
    return serve_request(state, asked, model, request_id=request_id, rate=rate)


def distance(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> float:
    """‖θ − θ'‖ / ‖θ'‖."""
    off = sum(float((found[name].double() - tensor).square().sum()) for name, tensor in expected.items())
    size = sum(float(tensor.double().square().sum()) for tensor in expected.values())
    return (off / size) ** 0.5 if off else 0.0
