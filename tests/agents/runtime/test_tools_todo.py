"""TodoWrite takes a whole list, and answers it as it is shown."""

from pathlib import Path
from typing import Any

import pytest

from agents.runtime.facts import Outcome, ToolRequest
from agents.runtime.tools.registry import Toolbox, Workspace
from agents.runtime.tools.todo import TodoWrite


def written(*todos: Any):
    request = ToolRequest("c", "TodoWrite", {"todos": list(todos)})
    return Toolbox([TodoWrite()], ["TodoWrite"]).call(request, Workspace(Path("/nowhere")))


def item(content: str, status: str = "pending", **more: str) -> dict[str, str]:
    return {"content": content, "status": status, **more}


def test_it_answers_the_list() -> None:
    result = written(
        item("Read", "completed"),
        item("Run the tests", "in_progress", activeForm="Running the tests"),
        item("Tell", priority="low"),
    )
    assert result.outcome is Outcome.COMPLETE
    assert result.output == "1 of 3 done.\n[x] Read\n[>] Run the tests\n[ ] Tell"
    assert written().output == "The list is empty."


def test_two_in_progress_are_refused() -> None:
    result = written(item("a", "in_progress"), item("b", "in_progress"))
    assert (result.outcome, "a; b" in result.output) == (Outcome.ERROR, True)


@pytest.mark.parametrize(
    "todo",
    [
        "a",
        {},
        {"content": "a"},
        item("  "),
        item("a", "done"),
        item("a" * 501),
        item("a", priority="urgent"),
        item("a", colour="red"),
    ],
)
def test_what_is_no_item_is_told(todo: Any) -> None:
    assert written(todo).outcome is Outcome.ERROR


def test_a_list_has_an_end() -> None:
    assert written(*[item("a")] * 100).outcome is Outcome.COMPLETE
    assert written(*[item("a")] * 101).outcome is Outcome.ERROR
