"""Charts side by side, of the score on the remaining and on the test rows and more: means with intervals."""

from collections.abc import Iterable, Mapping

from matplotlib.figure import Figure
from over_draws import Interval

SCORES = {"R": "score on remaining rows, %", "T": "score on test rows, %"}
Points = Iterable[tuple[float, Interval]]
LEVELS = ("--", ":", "-.")
LEAST, MOST = 0, 100.5
WIDTH, HEIGHT = 4.5, 4


class Panels:
    """A figure that is filled line by line."""

    def __init__(self, title: str, below: str, scores: Mapping[str, str] = SCORES) -> None:
        size = (WIDTH * len(scores), HEIGHT)
        self.figure = Figure(figsize=size, layout="constrained", facecolor="white")
        self._axes = dict(zip(scores, self.figure.subplots(1, len(scores)), strict=True))
        self._levels = 0
        for score, axes in self._axes.items():
            axes.set_title(f"{title}: {scores[score]}")
            axes.set_xlabel(below)
            axes.grid(alpha=0.3)

    def line(self, score: str, label: str, points: Points) -> None:
        """Draw means and intervals; of a single draw the mean alone.

        Args:
            score: Whose chart.
            label: In the legend.
            points: Where, and what.
        """
        there = list(points)
        self._axes[score].errorbar(
            [x for x, _ in there],
            [found.mean for _, found in there],
            yerr=[found.half if found.count > 1 else 0 for _, found in there],
            marker="o",
            capsize=3,
            elinewidth=1,
            label=label,
        )

    def level(self, label: str, means: Mapping[str, Interval | None]) -> None:
        """Draw what does not move, across each chart."""
        for score, found in means.items():
            if found is not None:
                style = LEVELS[self._levels]
                self._axes[score].axhline(found.mean, linestyle=style, color="grey", label=label)
        self._levels += 1

    def finished(self) -> Figure:
        """With a legend, and no further than a score can go."""
        for axes in self._axes.values():
            low, high = axes.get_ylim()
            axes.set_ylim(max(low, LEAST), min(high, MOST))
        first = next(iter(self._axes.values()))
        self.figure.legend(*first.get_legend_handles_labels(), loc="outside lower center", ncols=6)
        return self.figure
