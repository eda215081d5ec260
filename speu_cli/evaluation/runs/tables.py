"""The tables of a comparison: efficacy, fidelity, gaps, cost; or the metrics that were asked for."""

from collections.abc import Iterator, Mapping, Sequence

from speu_cli.evaluation.definitions.definition import Definition
from speu_cli.evaluation.definitions.lookup import definitions_of
from speu_cli.evaluation.report.visible import visible
from speu_cli.evaluation.runs.lineup import LONGEST_NAME, REFERENCE, RUN, ComparedModel
from speu_cli.evaluation.runs.named import NOT_MEASURED, told
from speu_cli.evaluation.table import Table, points
from speu_cli.wording import duration, part_of, size

EFFICACY, FIDELITY, GAPS, COST = "efficacy", "fidelity", "gaps", "cost"
AVERAGE, INSIDE_NOISE = "average", "inside noise"


def tables(models: Sequence[ComparedModel], score: str, metrics: Sequence[str] = ()) -> dict[str, Table]:
    """Lay models out as rows.

    Args:
        models: In order.
        score: Name of the task's score.
        metrics: Show these instead: metrics, gaps, ``seconds``, ``parameters_changed``, ``bytes_written``.

    Returns:
        Tables by name, those that have something in them; the first column has the names of the models.
    """
    if metrics:
        return {"metrics": _columns(models, metrics)}
    found = {
        EFFICACY: _columns(models, [f"unlearning_{score}", "loss.forget", "membership.auc"]),
        FIDELITY: _columns(models, [f"remaining_{score}", f"testing_{score}", "loss.test"]),
        GAPS: _gaps(models, score),
        COST: _cost(models),
    }
    return {name: table for name, table in found.items() if table.rows and len(table.header) > 1}


def column_definitions(
    models: Sequence[ComparedModel], score: str, shown: Mapping[str, Table]
) -> dict[str, dict[str, Definition]]:
    """Look up what the columns mean.

    Args:
        models: As of `tables`.
        score: Likewise.
        shown: What that returned.

    Returns:
        By name of a table and title of a column, where it is of a metric.
    """
    gaps = {_short(name, score): name for model in models for name in model.gaps or {}}
    metrics = {GAPS: {**gaps, INSIDE_NOISE: f"noise.{AVERAGE}"}}
    found = {}
    for name, table in shown.items():
        by_title = {title: metrics.get(name, {}).get(title, title) for title in table.header}
        known = definitions_of(by_title.values())
        found[name] = {title: known[metric] for title, metric in by_title.items() if metric in known}
    return found


def name_of(model: ComparedModel) -> str:
    """The name of a model, safe to print."""
    return visible(model.name, LONGEST_NAME)


def _columns(models: Sequence[ComparedModel], names: Sequence[str]) -> Table:
    rows = [[name_of(model), *(told(model, name) for name in names)] for model in models]
    return Table(["model", *names], rows)


def _gaps(models: Sequence[ComparedModel], score: str) -> Table:
    """Distances in points, the noise of retraining below them, and where they are from if that is not one."""
    compared = [model for model in models if model.gaps is not None]
    names = [f"gap.{place}_{score}" for place in ("unlearning", "remaining", "testing")]
    names += [name for model in compared for name in model.gaps or {}]
    titles = {name: _short(name, score) for name in names}
    floors = {model.against: model.noise for model in compared if model.noise is not None}
    several = len({model.against for model in compared}) > 1
    rows = []
    for model in compared:
        row = [name_of(model), *(points((model.gaps or {})[name]) for name in titles)]
        row += [_yes_or_no((model.inside_noise or {}).get(AVERAGE))] if floors else []
        rows.append([*row, *([visible(str(model.against), LONGEST_NAME)] if several else [])])
    for against, floor in floors.items():
        noise = [points(floor[f"noise.{name.removeprefix('gap.')}"]) for name in titles]
        from_it = [visible(str(against), LONGEST_NAME)] if several else []
        rows.append(["noise of retraining", *noise, "", *from_it])
    header = [
        "model",
        *titles.values(),
        *([INSIDE_NOISE] if floors else []),
        *(["from"] if several else []),
    ]
    return Table(header, rows)


def _short(gap: str, score: str) -> str:
    return gap.removeprefix("gap.").removeprefix("membership.").removesuffix(f"_{score}")


def _yes_or_no(flag: bool | None) -> str:
    return NOT_MEASURED if flag is None else "yes" if flag else "no"


def _cost(models: Sequence[ComparedModel]) -> Table:
    shown = [model for model in models if model.kind in {RUN, REFERENCE}]
    rows = [[name_of(model), *_cost_of(model)] for model in shown]
    header = ["model", "method", "units changed", "parameters changed", "written", "time"]
    used = [0, *(place for place in range(1, len(header)) if any(row[place] for row in rows))]
    return Table(
        [header[place] for place in used],
        [[row[place] for place in used] for row in rows if any(row[1:])],
    )


def _cost_of(model: ComparedModel) -> Iterator[str]:
    request = model.forgetting
    yield visible(request.method, LONGEST_NAME) if request else ""
    units = (request.selected or {}).items() if request else ()
    yield ", ".join(f"{some:,} of {of:,} {visible(kind, LONGEST_NAME)}" for kind, (some, of) in units)
    changed = request.parameters_changed if request else None
    yield "" if request is None or changed is None else part_of(changed, request.parameters_total)
    yield size(request.bytes_written) if request else ""
    yield "" if model.seconds is None else duration(model.seconds)
