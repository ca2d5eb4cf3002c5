"""Figures as they are measured: a number, its unit, what it is and the aim that it has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table. `aim` is the limit of `value` (None: it has none)."""

    part: str
    name: str
    value: float
    unit: str
    what: str
    aim: float | None = None
    is_more_better: bool = False

    @property
    def is_met(self) -> bool | None:
        if self.aim is None:
            return None
        return self.value >= self.aim if self.is_more_better else self.value <= self.aim


@dataclass(frozen=True, slots=True)
class Step:
    """Where a part of one run's time goes: milliseconds, times it happens, and what it is."""

    name: str
    milliseconds: float
    times: float


@dataclass(slots=True)
class Report:
    """Everything that one run of the benchmarks found."""

    facts: dict[str, str] = field(default_factory=dict)
    figures: list[Figure] = field(default_factory=list)
    steps: dict[str, list[Step]] = field(default_factory=dict)

    def add(self, *figures: Figure) -> None:
        self.figures.extend(figures)

    def as_json(self) -> dict[str, Any]:
        """The report as JSON has it; `is_met` is None for a figure without an aim."""
        return {
            "facts": self.facts,
            "figures": [{**asdict(each), "is_met": each.is_met} for each in self.figures],
            "steps": {name: [asdict(step) for step in steps] for name, steps in self.steps.items()},
        }


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which this share (0 to 1) of the values lies: the nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
