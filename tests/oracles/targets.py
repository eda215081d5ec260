"""Targets example by example, by counting, in float64."""

from collections.abc import Sequence

FEWEST = 20
Row = tuple[float, int]  # margin and stratum


def unseen_margins(
    now: Sequence[Row], known: Sequence[Row], unseen: Sequence[Row], lowest: float, order: Sequence[float]
) -> list[float]:
    """The margin of the unseen example of its stratum that stands where each one would stand unseen."""
    among = [_share_below(margin, _like(known, stratum)) for margin, stratum in now]
    standing = []
    for (margin, _), place in zip(now, among, strict=True):
        mine = (place, margin)
        others = [(other, of_other) for other, (of_other, _) in zip(among, now, strict=True)]
        below, alike = sum(one < mine for one in others), sum(one == mine for one in others)
        standing.append(((below + alike / 2) / len(now) + place) / 2)
    aims = []
    for position, (margin, stratum) in enumerate(now):
        peers = [one for one, (_, other) in enumerate(now) if other == stratum]
        first = sum((order[one], now[one][0], one) < (order[position], margin, position) for one in peers)
        place = sorted(standing[one] for one in peers)[first]
        aims.append(min(max(_quantile(_like(unseen, stratum), place), lowest), margin))
    return aims


def unseen_terms(
    aims: Sequence[float],
    now: Sequence[tuple[Row, Sequence[float]]],
    unseen: Sequence[tuple[Row, Sequence[float]]],
    lowest: float,
) -> list[list[float]]:
    """The terms of the unseen example of its stratum with the nearest margin; each row comes with terms."""
    found = []
    for aim, ((margin, stratum), terms) in zip(aims, now, strict=True):
        peers = [one for one in unseen if one[0][1] == stratum]
        peers = peers if len(peers) >= FEWEST else list(unseen)
        nearest = sorted(peers, key=lambda one: abs(one[0][0] - aim))[0][1]
        wanted = [min(max(other, lowest), mine) for other, mine in zip(nearest, terms, strict=True)]
        found.append(wanted if aim < margin else list(terms))
    return found


def _like(rows: Sequence[Row], stratum: int) -> list[float]:
    found = [margin for margin, of_row in rows if of_row == stratum]
    return found if len(found) >= FEWEST else [margin for margin, _ in rows]


def _share_below(margin: float, known: Sequence[float]) -> float:
    return (sum(one < margin for one in known) + 0.5) / (len(known) + 1)


def _quantile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    position = share * (len(ordered) - 1)
    low = int(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (position - low) * (ordered[high] - ordered[low])
