"""The built-in interview: its fixed questions, in order, and what an answer means; pure.

It sets a board up where no model is at hand. A question depends on what was answered before it:
there is no date to ask for where there is no deadline, and no lead to describe where one sits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from django.core.exceptions import ValidationError
from django.utils import timezone

from boards import drafts

_LONGEST = 20_000
_LONGEST_SHORT = 200
# As `configuration.SUCCESS_METRICS_SHAPE` has it.
_LONGEST_AIM, _MOST_METRICS = 1000, 50
_YES, _NO = "yes", "no"


@dataclass(frozen=True, slots=True)
class Known:
    """What is known when the next question is chosen: what was answered, by question."""

    values: Mapping[str, Any]
    has_lead: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One question. `read` makes a value of an answer, or raises a ValidationError that says why.

    `options` maps a value to the words that offer it; whether other words do is `read`'s matter.
    """

    key: str
    question: str
    read: Callable[[str], Any]
    options: Mapping[str, str] = field(default_factory=dict)
    applies: Callable[[Known], bool] = lambda known: True

    def value(self, answer: str) -> Any:
        """What the answer means. Raises a ValidationError."""
        words = answer.strip()
        if not words:
            raise ValidationError("Say something, in your own words or by an option.", code="blank")
        return self.read(chosen(self.options, words) or words)


def chosen(options: Mapping[str, str], words: str) -> str:
    """The value of the option that is meant; empty for none.

    Meant by its value, by its words, or by those before their colon: `Ask first`.
    """
    said = words.casefold()
    for value, text in options.items():
        if said in {value.casefold(), text.casefold(), text.partition(":")[0].casefold()}:
            return value
    return ""


def _text(most: int) -> Callable[[str], str]:
    def read(answer: str) -> str:
        if len(answer) > most:
            raise ValidationError(
                f"That is {len(answer)} characters; at most {most} are kept.", code="max_length"
            )
        return answer

    return read


def _one_of(*values: str) -> Callable[[str], str]:
    def read(answer: str) -> str:
        if answer not in values:
            valid = ", ".join(values)
            raise ValidationError(f"Choose one of these: {valid}.", code="invalid_choice")
        return answer

    return read


def read_metrics(answer: str) -> dict[str, Any]:
    """Metrics, one a line: `name: what it should reach`. Raises a ValidationError."""
    metrics: dict[str, Any] = {}
    for number, line in enumerate(filter(str.strip, answer.splitlines()), start=1):
        name, _, aim = (part.strip() for part in line.partition(":"))
        if not name or not aim:
            raise ValidationError(
                f"Line {number} has no name or no aim; write `name: what it should reach`.",
                code="invalid",
            )
        if name in metrics:
            raise ValidationError(f"{name!r} is named twice.", code="unique")
        if len(name) > _LONGEST_SHORT or len(aim) > _LONGEST_AIM:
            raise ValidationError(
                f"Line {number} is too long: a name has at most {_LONGEST_SHORT} characters, an "
                f"aim {_LONGEST_AIM}.",
                code="max_length",
            )
        metrics[name] = _number(aim)
    if len(metrics) > _MOST_METRICS:
        raise ValidationError(f"At most {_MOST_METRICS} measures.", code="max_length")
    return metrics


def _number(aim: str) -> str | int:
    return int(aim) if aim.isascii() and aim.isdigit() and len(aim) <= 15 else aim


def _future_date(answer: str) -> str:
    try:
        wanted = date.fromisoformat(answer)
    except ValueError as error:
        raise ValidationError("Write a date as YYYY-MM-DD.", code="invalid") from error
    if wanted < timezone.now().date():
        raise ValidationError(f"{wanted} is over; name a day to come.", code="past")
    return wanted.isoformat()


def _has_date(known: Known) -> bool:
    return known.values.get(_ASIDE) == _YES


def _needs_lead(known: Known) -> bool:
    return not known.has_lead


_ASIDE = "has_target_date"
STEPS = (
    Step(
        "objective",
        "What is this board for? Say in a sentence or two what should be true when it is done.",
        _text(_LONGEST),
    ),
    Step(
        "success_metrics",
        "How will you know that it succeeded? Name one measure a line, with a colon and what it "
        "should reach, such as `coverage: 90` or `report: sent to the council`.",
        read_metrics,
    ),
    Step(
        _ASIDE,
        "Is there a day by which it should be done?",
        _one_of(_YES, _NO),
        {_YES: "Yes, there is a date", _NO: "No, there is none"},
    ),
    Step(
        "target_date",
        "Which day is that? Write it as YYYY-MM-DD.",
        _future_date,
        applies=_has_date,
    ),
    Step(
        "autonomy",
        "How much may the agents do by themselves?",
        _one_of("ask_first", "balanced", "autonomous"),
        {
            "ask_first": "Ask first: people start all work, allow each command and each change of "
            "a file, and approve what is done",
            "balanced": "Balanced: agents begin what is assigned to them, and a person approves "
            "what is done",
            "autonomous": "Autonomous: agents begin and finish work by themselves, and people step "
            "in when they want to",
        },
    ),
    Step(
        "verbosity",
        "How much should the agents tell you? Choose, or say it in your own words.",
        _text(_LONGEST_SHORT),
        {
            "brief": "Brief: results and what I have to decide",
            "normal": "Normal: results with the reasons for them",
            "detailed": "Detailed: every step and why it was taken",
        },
    ),
    Step(
        "output_format",
        "In what form do you want results? Choose, or say it in your own words.",
        _text(_LONGEST_SHORT),
        {
            "plain text": "Plain text",
            "Markdown": "Markdown, with headings and lists",
            "checklist": "A checklist of what is done and what is open",
        },
    ),
    Step(
        "update_cadence",
        "How often do you want to hear how it goes? Choose, or say it in your own words.",
        _text(_LONGEST_SHORT),
        {
            "when something happens": "Only when something happens",
            "daily": "Every day",
            "weekly": "Every week",
        },
    ),
    Step(
        "lead_name",
        "Which name shall the lead have, the agent that plans the work and gives it out?",
        _text(_LONGEST_SHORT),
        applies=_needs_lead,
    ),
    Step(
        "lead_soul",
        "How shall the lead work? Choose, or write its standing instructions yourself.",
        _text(_LONGEST),
        {
            drafts.DEFAULT_SOUL: "As leads usually do: split, give out, review, report",
            "You lead this board with care. Write a plan and have people agree to it before any "
            "work begins; prefer small steps that can be taken back, and ask when in "
            "doubt.": "With care: a plan first, small steps, questions when in doubt",
            "You lead this board at speed. Begin with what brings the goal nearest, keep every "
            "worker busy, and report what is done rather than what is planned.": "At speed: what "
            "brings the goal nearest first, everybody busy",
        },
        applies=_needs_lead,
    ),
)
STEP = {step.key: step for step in STEPS}
_PLACE = {step.key: place for place, step in enumerate(STEPS)}


def next_step(known: Known) -> Step | None:
    """The first question that is to be asked and has no answer; None when all have one."""
    left = (step for step in STEPS if step.key not in known.values and step.applies(known))
    return next(left, None)


def applying(known: Known) -> list[str]:
    """Of the questions that were answered those that still are to be asked, in their order."""
    return sorted((key for key in known.values if STEP[key].applies(known)), key=_PLACE.__getitem__)


def draft_of(known: Known) -> dict[str, Any]:
    """What the answers come to."""
    draft = {key: known.values[key] for key in applying(known)}
    if draft.pop(_ASIDE, _YES) == _NO:
        draft["target_date"] = None
    return draft
