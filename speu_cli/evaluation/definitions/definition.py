"""What is to be said of a metric, whatever its value is."""

import itertools
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Better = Literal["higher", "lower", "closer", "none"]
HIGHER: Better = "higher"
LOWER: Better = "lower"
CLOSER: Better = "closer"  # to the value of a model retrained without the forgotten examples
NO_BETTER: Better = "none"

NO_INTERVAL = "none"
_GROUP = re.compile(r"\{([^}]*)\}")


@dataclass(frozen=True)
class Unit:
    """What a number counts, and how it is written.

    Attributes:
        name: What the unit is called.
        low: The least value that there can be.
        high: The largest one.
        signs: What may stand behind a number in a requirement, and the power of ten that leads from there to
            the unit: 84 % is 84 · 10^−2 as a fraction.
        shown: Power of ten by which a value is shown to a person.
        decimals: That are shown; None for three digits, wherever they begin.
        sign: Shown behind the value.
    """

    name: str
    low: float = -math.inf
    high: float = math.inf
    signs: Mapping[str, int] = field(default_factory=dict)
    shown: int = 0
    decimals: int | None = 3
    sign: str = ""


PERCENT_SIGN, POINTS_SIGN = "%", "pt"
FRACTION = Unit("fraction", 0, 1, {PERCENT_SIGN: -2}, shown=2, decimals=1, sign=" %")
CORRELATION = Unit("correlation", -1, 1, {PERCENT_SIGN: -2}, shown=2, decimals=1, sign=" %")
LOSS = Unit("nats; of regression squares of the label's unit", 0)
FALL = Unit(LOSS.name)
NATS = Unit("nats", 0)
CONFIDENCE = Unit("probability; of regression squares of the label's unit", 0)
LOGITS = Unit("logits")
PER_CENT = Unit("per cent", signs={PERCENT_SIGN: 0})
POINTS = Unit("points", 0, 100, {POINTS_SIGN: 0}, decimals=2)
# Two correlations can be 2 apart.
POINTS_OF_CORRELATIONS = Unit("points", 0, 200, {POINTS_SIGN: 0}, decimals=2)
P_VALUE = Unit("p-value", 0, 1, decimals=None)  # 1e-20 says another thing than 1e-5
STEPS = Unit("steps", 0, decimals=0)
SCALELESS = Unit("scaleless")  # of what is not known


@dataclass(frozen=True)
class Definition:
    """A family of metrics of one meaning.

    Attributes:
        pattern: Their names: ``loss.{forget,test}`` stands for ``loss.forget`` and ``loss.test``.
        meaning: In one line.
        better: Which way is better: ``closer`` is nearer to the value of the retrained model.
        unit: Of the value and of its bounds.
        interval: What the 95 % interval is made by.
        tasks: Names of the tasks that have them; empty: all.
    """

    pattern: str
    meaning: str
    better: Better
    unit: Unit
    interval: str = NO_INTERVAL
    tasks: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """All names that the pattern stands for."""
        choices = [one.split(",") for one in _GROUP.findall(self.pattern)]
        form = _GROUP.sub("{}", self.pattern)
        return [form.format(*chosen) for chosen in itertools.product(*choices)]

    @property
    def has_interval(self) -> bool:
        """Whether there ever is an interval."""
        return self.interval != NO_INTERVAL

    def as_json(self) -> dict[str, object]:
        """What is published beside a metric; a range without an end has an infinity there."""
        return {
            "meaning": self.meaning,
            "better": self.better,
            "unit": self.unit.name,
            "range": [self.unit.low, self.unit.high],
            "interval": self.interval,
        }
