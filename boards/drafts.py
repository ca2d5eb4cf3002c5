"""The draft of a board that is being set up: what it may hold, and what it comes to; pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import Any

from django.core.exceptions import ValidationError
from rest_framework.exceptions import ErrorDetail
from rest_framework.exceptions import ValidationError as InvalidFields

from agents.actions import configuration as of_agents
from agents.runtime.tools.registry import EVERY_TOOL
from boards.actions.configuration import SUCCESS_METRICS_SHAPE
from boards.agent_api.hints import HINTS, NO_TOOLS, Role

_SHORT = {"type": "string", "maxLength": 200}
_LONG = {"type": "string", "maxLength": 20_000}
FIELDS: dict[str, dict[str, Any]] = {
    "objective": _LONG,
    "success_metrics": SUCCESS_METRICS_SHAPE,
    "target_date": {"type": ["string", "null"], "pattern": r"^\d{4}-\d{2}-\d{2}$"},
    "autonomy": {"enum": ["ask_first", "balanced", "autonomous"]},
    "verbosity": _SHORT,
    "output_format": _SHORT,
    "update_cadence": _SHORT,
    "lead_name": _SHORT,
    "lead_soul": _LONG,
}
EXAMPLE = {
    "objective": "Count the barn owls of the county.",
    "success_metrics": {"barns visited": 40, "report": "with the council by June"},
    "target_date": "2027-06-01",
    "autonomy": "balanced",
    "verbosity": "brief",
    "output_format": "Markdown",
    "update_cadence": "weekly",
    "lead_name": "Olga",
    "lead_soul": "Plan before you begin, and split work into small tasks.",
}
# What a person changes of a draft; it may be incomplete until it is confirmed.
CHANGES_SHAPE: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "minProperties": 1,
    "properties": FIELDS,
}
# What is handed in. A board is a shared goal, so the goal is there and can be measured.
SHAPE: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["objective", "success_metrics"],
    "properties": {
        **FIELDS,
        "objective": {**_LONG, "pattern": r"\S"},
        "success_metrics": {**SUCCESS_METRICS_SHAPE, "minProperties": 1},
    },
}
_NEEDED = {
    "objective": "A board needs a goal: say what it is for.",
    "success_metrics": "A goal needs a measure: name at least one, and what it should reach.",
}

# What autonomy is: the rules and the start of work, as `boards.rules` and `auto_start` have them.
_RULES: Mapping[str, Mapping[str, bool]] = {
    "ask_first": {
        "block_status_changes_with_pending_approval": True,
        "require_review_before_done": True,
        "require_approval_for_done": True,
        "comment_required_for_review": True,
        "auto_start": False,
    },
    "balanced": {
        "block_status_changes_with_pending_approval": False,
        "require_review_before_done": True,
        "require_approval_for_done": True,
        "comment_required_for_review": False,
        "auto_start": True,
    },
    "autonomous": {
        "block_status_changes_with_pending_approval": False,
        "require_review_before_done": False,
        "require_approval_for_done": False,
        "comment_required_for_review": False,
        "auto_start": True,
    },
}
# Calls that a person is asked about on a board whose people want to be asked first.
_HELD = ("Bash", "Edit", "Write")
_STAFFING = frozenset({"agent_lead_create_agent", "agent_lead_delete_board_agent"})
_READING = ("Read", "Glob", "Grep", "TodoWrite")
_STYLE = {
    "autonomy": "Autonomy",
    "verbosity": "How much to say",
    "output_format": "Form of results",
    "update_cadence": "Reports",
}
DEFAULT_SOUL = (
    "You lead this board. Split its goal into small tasks, give each to the worker who can do it, "
    "review what they hand in, and tell people what they have to know."
)


def check(draft: Any) -> None:
    """Refuse a draft that is handed in incomplete or with what none holds.

    Raises a ValidationError of REST framework that names every field that is wrong.
    """
    problems = dict(_problems(SHAPE, draft))
    missing = missing_of(draft) if isinstance(draft, Mapping) else {}
    if problems or missing:
        raise InvalidFields({**problems, **missing})


def check_changes(changes: Any) -> None:
    """Refuse changes of what no draft holds. Raises as `check` does."""
    problems = dict(_problems(CHANGES_SHAPE, changes))
    if problems:
        raise InvalidFields(problems)


def check_complete(draft: Mapping[str, Any]) -> None:
    """Refuse a draft without a goal or a measure of it. Raises as `check` does, naming both."""
    missing = missing_of(draft)
    if missing:
        raise InvalidFields(missing)


def missing_of(draft: Mapping[str, Any]) -> dict[str, list[ErrorDetail]]:
    """What a draft lacks to be the goal of a board, by field."""
    objective = draft.get("objective")
    is_blank = not isinstance(objective, str) or not objective.strip()
    lacking = {"objective": is_blank, "success_metrics": not draft.get("success_metrics")}
    return {
        name: [ErrorDetail(_NEEDED[name], code="required")]
        for name, is_lacking in lacking.items()
        if is_lacking
    }


def goal_of(draft: Mapping[str, Any]) -> dict[str, Any]:
    """The draft's goal as fields of a board; what the draft leaves open is left as it is."""
    goal = {name: draft[name] for name in ("objective", "success_metrics") if name in draft}
    if "target_date" in draft:
        text = draft["target_date"]
        goal["target_date"] = date.fromisoformat(text) if text else None
    return goal


def rules_of(draft: Mapping[str, Any], held: Iterable[Any]) -> dict[str, Any]:
    """The rules of a board that the draft's autonomy asks for; without one, none.

    `held` are the calls that need a person already: to ask first adds to them, and nothing here
    takes one away that a person has named.
    """
    autonomy = draft.get("autonomy")
    if autonomy is None:
        return {}
    rules: dict[str, Any] = dict(_RULES[autonomy])
    before = list(held)
    # A pattern of a tool holds some of its calls; only the name alone holds all.
    named = {each for each in before if isinstance(each, str)}
    if autonomy == "ask_first" and EVERY_TOOL not in named:
        rules["approval_required"] = [*before, *(name for name in _HELD if name not in named)]
    return rules


def lead_of(draft: Mapping[str, Any], board_name: str) -> dict[str, Any]:
    """The lead that the draft describes, as fields of an agent that Signalbox runs."""
    soul = draft.get("lead_soul", "").strip() or DEFAULT_SOUL
    wanted = draft.get("lead_name", "").strip()
    return {
        "name": wanted or f"Lead of {board_name}"[:200],
        "soul": "\n\n".join(part for part in (soul, agreement_of(draft)) if part),
        "tools": list(lead_tools(draft.get("autonomy", ""))),
    }


def lead_tools(autonomy: str) -> Iterator[str]:
    """The board tools of a lead, and reading; only an autonomous board is staffed by its lead."""
    yield from _READING
    for name, hint in HINTS.items():
        if Role.LEAD not in hint.roles or name in NO_TOOLS:
            continue
        if name not in _STAFFING or autonomy == "autonomous":
            yield name


def agreement_of(draft: Mapping[str, Any]) -> str:
    """How people want the work done, in words for agents; empty if the draft does not say."""
    lines = [f"- {words}: {draft[name]}" for name, words in _STYLE.items() if draft.get(name)]
    return "\n".join(["How the people of this board want it:", *lines]) if lines else ""


def summary_of(draft: Mapping[str, Any]) -> str:
    """The whole of it, in words for those who work on the board."""
    metrics = [f"- {name}: {aim}" for name, aim in draft.get("success_metrics", {}).items()]
    parts = [f"The goal: {draft.get('objective', '')}"]
    parts += ["\n".join(["It is reached when:", *metrics])] if metrics else []
    parts += [f"By {draft['target_date']}."] if draft.get("target_date") else []
    return "\n\n".join(part for part in (*parts, agreement_of(draft)) if part)


def _problems(shape: Mapping[str, Any], value: Any) -> Iterator[tuple[str, list[str]]]:
    """Each field that does not fit the shape, with what is wrong; "" is the draft itself."""
    if not isinstance(value, Mapping):
        yield "draft", ["A draft is an object of the fields that it holds."]
        return
    if not value and shape is CHANGES_SHAPE:
        yield "draft", ["Name at least one field to change."]
    for name in sorted(value.keys() - FIELDS.keys()):
        yield name, [f"A draft has no such field; it has {', '.join(FIELDS)}."]
    for name in FIELDS.keys() & value.keys():
        try:
            of_agents.check_shape(FIELDS[name], value[name])
            if name == "target_date":
                check_date(value[name])
        except ValidationError as error:
            yield name, error.messages


def check_date(value: str | None) -> None:
    """Refuse what looks like a date and is none."""
    try:
        date.fromisoformat(value or "2000-01-01")
    except ValueError as error:
        raise ValidationError("There is no such date; write YYYY-MM-DD.", code="invalid") from error
