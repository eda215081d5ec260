"""What an update keeps in memory, with all units and with a tenth of them: the paper's Table 3.

The paper's numbers are of the update alone. Measured here are whole processes, ``speu`` with PyTorch in
it, so each is shown above a process that loads the same libraries and reads only what a model's folder says
of itself; and, from the number of trained entries, the two moments that AdamW keeps of each.
"""

from commands import REFUSED, Json
from draws_table import by_method, difference_text, mean, mean_text, of_noise
from method_tables import CHOSEN, ways
from outcome import Outcome, table
from paper_numbers import numbers
from place import Place
from settings import SETS
from study import PAPER, Study, Way, costs, step

MEBIBYTE = 2**20
MOMENTS, FLOAT = 2, 4
ALL, TENTH = "all units", "a tenth of the units"


def run(place: Place, target: str) -> Outcome:
    """Measure the table.

    Args:
        place: Where.
        target: ``table3``.

    Returns:
        A table of each model.
    """
    setting = place.setting
    one = SETS[setting.case_study]
    outcome = Outcome(
        f"Table {target.removeprefix('table')}: memory, {one.title}",
        [
            "Peak resident memory of each process in MiB, above that of `speu inspect`, which loads the "
            "libraries and no model; what is on a GPU is not in this, so take SPEU_DEVICE=cpu.",
            *setting.stand_in(),
            of_noise(setting.draws),
        ],
    )
    paper = numbers()[target]
    for model in place.models():
        study = place.study(one, model)
        rows = [row for draw in study.draws for row in rows_of(study, draw)]
        groups = by_method(rows)
        names = list(dict.fromkeys(row["what"] for row in rows))
        lines = []
        for what in names:
            both = [groups[f"{what}, {units}"] for units in (ALL, TENTH)]
            full, masked = (mean(group, "mebibytes") for group in both)
            ratio = f"{masked.mean / full.mean:.2f}" if full and masked and full.mean else "–"
            lines.append([what, *(mean_text(group, "mebibytes", digits=0) for group in both), ratio])
        if model.shown in paper["models"]:
            values = [paper[method][paper["models"].index(model.shown)] for method in ("SO", "SPE-SO")]
            cells = [f"paper, {model.shown}, MB", *(f"{value:.1f}" for value in values)]
            lines.append([*cells, f"{values[1] / values[0]:.2f}"])
        outcome.tables[model.name] = table(["memory, MiB", ALL, TENTH, "ratio"], lines)
        for what in names:
            told = difference_text(groups[f"{what}, {TENTH}"], groups[f"{what}, {ALL}"], "mebibytes")
            outcome.findings.append(f"{model.name}, {what}: {TENTH} less {ALL}, {told} (MiB).")
        outcome.findings.append(f"In the paper SPE-SO takes less than SO, with {model.shown} too.")
        outcome.rows += [{"model": model.name, "set": one.name, **row} for row in rows]
    return outcome


def rows_of(study: Study, draw: str) -> list[Json]:
    """The step, the statistics it needs, and training; each on all units and on a tenth."""
    original = study.original()
    libraries = study.speu("inspect", str(original), keep="inspect")["process_peak_bytes"]
    mask = study.work / f"mask-{draw}.safetensors"
    asked = (*study.data, *study.fisher, "--forget", str(study.forget(draw)), "--sparsity", str(CHOSEN))
    study.speu("mask", str(original), *asked, "--force", "-o", str(mask), keep=mask.stem)
    part = study.work / f"fisher-of-mask-{draw}.safetensors"
    told = (*study.data, *study.holdout, "--mask", str(mask), "--force", "-o", str(part))
    pass_of_mask = study.speu("fisher", str(original), *told, keep=part.stem)
    of_part = ("--fisher", str(part), "--mask", str(mask))
    training = next(way for way in ways(study.setting, study.model) if way.label == "gd")
    trained = Way("GD", "gd-masked", (*training.options, "--mask", str(mask)), steps=False)
    stepped = Way("SPE-SO", "spe-so-of-mask", ("--method", "spe-so", *PAPER, *of_part), steps=False)
    pairs = {
        "second-order step": (study.served_row(draw, step(0)), study.served_row(draw, stepped)),
        "statistics pass": (costs(study.kept("fisher")), costs(pass_of_mask)),
        "training by gradient difference": (
            study.served_row(draw, training),
            study.served_row(draw, trained),
        ),
    }
    rows: list[Json] = []
    for what, pair in pairs.items():
        for units, found in zip((ALL, TENTH), pair, strict=True):
            kept = {"method": f"{what}, {units}", "what": what, "draw": draw}
            rows.append({**kept, "mebibytes": (found["peak_bytes"] - libraries) / MEBIBYTE})
            if REFUSED not in found and found.get("method") == "GD":
                moments = MOMENTS * FLOAT * found["parameters_changed"] / MEBIBYTE
                name = "moments of AdamW, of the entries trained"
                rows.append({"method": f"{name}, {units}", "what": name, "draw": draw, "mebibytes": moments})
    return rows
