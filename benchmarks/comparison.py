"""All methods on one subject: time in turn, memory each in a process of its own, and whether F agrees."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from typing import Any

from agreement import TOLERANCE, largest_difference, noise_of
from clock import Seconds, spread, timed
from fresh import PeakMemory, in_fresh_process
from peers import METHODS
from peers.base import Method
from peers.loop import Loop
from peers.plain import Plain
from subjects import Choice, Fisher

from speu_cli.tasks.encoded import Encoded

Round = dict[str, dict[str, Seconds]]


def compare(choice: Choice, names: Sequence[str], rounds: int) -> dict[str, Any]:
    """Measure the named methods on one subject.

    Args:
        choice: The subject; every method gets its own copy.
        names: Of methods, the plain pass among them.
        rounds: How often all methods are timed, in turn.

    Returns:
        The figures, ready for JSON; a method that is not here, or not for this subject, has its reason.

    Raises:
        ValueError: There is but one batch.
    """
    subject, encoded = choice.open()
    batches = encoded.batches(subject.batch_tokens)
    if len(batches) == 1:
        raise ValueError("the examples fit in one batch, expected at least two: the time of one is taken off")
    one_batch = encoded.select(batches[len(batches) // 2])
    methods, fishers, absent = _set_up(choice, names, one_batch)
    peaks = {name: in_fresh_process(peak_memory, choice, name) for name in methods}
    device = subject.model.device.type
    times = [_round(methods, {"one_batch": one_batch, "all": encoded}, device) for _ in range(rounds)]
    figures = {
        name: {
            "seconds": [of_round[name] for of_round in times],
            "ratio_to_plain": {clock: spread(_ratios(times, name, clock)) for clock in ("wall", "cpu")},
            "peak_memory_bytes": peaks[name],
            "difference_of_fisher": _difference(fishers, name, methods[name].share),
        }
        for name in methods
    }
    return {
        "subject": choice.label,
        "examples": len(encoded),
        "tokens": sum(encoded.lengths),
        "batches": len(batches),
        "device": device,
        "methods": {**figures, **{name: {"absent": reason} for name, reason in absent.items()}},
    }


def peak_memory(choice: Choice, name: str) -> int | None:
    """Bytes that a method takes above the model, on the two longest batches: work beside totals."""
    subject, encoded = choice.open()
    longest = encoded.select(
        [index for batch in encoded.batches(subject.batch_tokens)[:2] for index in batch]
    )
    method = METHODS[name](subject)
    peak = PeakMemory(subject.model.device.type)
    method.run(longest)
    return peak.bytes()


def disagreements(compared: Mapping[str, Any]) -> list[str]:
    """A line for each method whose F is not the loop's."""
    return [
        f"{compared['subject']}: F of {name} is off by {figures['difference_of_fisher']:.1e}, "
        f"expected at most {TOLERANCE:.0e} of the tensor's largest entry"
        for name, figures in compared["methods"].items()
        if figures.get("difference_of_fisher") is not None
        and not figures["difference_of_fisher"] <= TOLERANCE
    ]


def _set_up(
    choice: Choice, names: Sequence[str], one_batch: Encoded
) -> tuple[dict[str, Method], dict[str, Fisher | None], dict[str, str]]:
    """Make the methods and run each once, as a warm-up.

    Returns:
        The methods, their F of the batch, and why the others are not among them.
    """
    methods: dict[str, Method] = {}
    fishers: dict[str, Fisher | None] = {}
    absent: dict[str, str] = {}
    for name in names:
        kind = METHODS[name]
        if kind.package and not find_spec(kind.package):
            absent[name] = "not installed"
            continue
        try:
            method = kind(choice.open()[0])
            fisher = method.run(one_batch)
            fishers[name] = fisher and {key: tensor.cpu() for key, tensor in fisher.items()}
            methods[name] = method
        except Exception as error:
            # A peer may be unable to take this model; that is a result.
            if kind.required:
                raise
            absent[name] = f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
    return methods, fishers, absent


def _round(methods: Mapping[str, Method], runs: Mapping[str, Encoded], device: str) -> Round:
    """All methods in turn, each on every set."""
    return {
        name: {which: timed(partial(method.run, encoded), device) for which, encoded in runs.items()}
        for name, method in methods.items()
    }


def _ratios(times: Sequence[Round], name: str, clock: str) -> list[float]:
    """Of a method to the plain pass of the same round, one batch's time taken off both."""

    def steady(seconds: Mapping[str, Seconds]) -> float:
        return seconds["all"][clock] - seconds["one_batch"][clock]

    return [steady(of_round[name]) / steady(of_round[Plain.name]) for of_round in times]


def _difference(
    fishers: Mapping[str, Fisher | None], name: str, share: Callable[[Fisher], Fisher]
) -> float | None:
    """How far F is from that of the loop; none where there is nothing to compare."""
    whole, found = fishers.get(Loop.name), fishers[name]
    if whole is None or found is None or name == Loop.name:
        return None
    return largest_difference(share(whole), found, noise_of(whole))
