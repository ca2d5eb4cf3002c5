"""TodoWrite: the agent's own list of what it has to do, replaced whole by each call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agents.runtime.tools.registry import ToolError, Workspace, parameters

MOST_ITEMS = 100
LONGEST_ITEM = 500
_MARKS = {"completed": "[x]", "in_progress": "[>]", "pending": "[ ]"}
STATUSES = tuple(_MARKS)


class TodoWrite:
    """Writes the list. It is kept where every call is: in the ledger, whose last call is the list;
    so it outlives compaction, and a fork has it from its past.
    """

    name = "TodoWrite"
    description = (
        "Keep a list of what you have to do, which people see. Each call replaces the whole list: "
        "send every item, done ones too. Have one item in progress while you work, and complete "
        "it as soon as it is done. Use it for work of three steps or more."
    )
    parameters = parameters(
        {
            "todos": {
                "type": "array",
                "maxItems": MOST_ITEMS,
                "items": {
                    "type": "object",
                    "properties": {
                        "content": {
                            "type": "string",
                            "pattern": r"\S",
                            "maxLength": LONGEST_ITEM,
                            "description": "What is to be done: 'Run the tests'.",
                        },
                        "status": {"type": "string", "enum": list(STATUSES)},
                        "activeForm": {
                            "type": "string",
                            "maxLength": LONGEST_ITEM,
                            "description": "What is being done: 'Running the tests'.",
                        },
                        "priority": {"type": "string", "enum": ["high", "medium", "low"]},
                    },
                    "required": ["content", "status"],
                    "additionalProperties": False,
                },
            }
        },
        required=["todos"],
    )
    repeatable = True
    uses_files = False
    changes_files = False

    def run(self, arguments: Mapping[str, Any], workspace: Workspace) -> str:
        todos = arguments["todos"]
        begun = [item["content"] for item in todos if item["status"] == "in_progress"]
        if len(begun) > 1:
            raise ToolError(
                f"One item at most is in progress, and these are {len(begun)}: {'; '.join(begun)}. "
                "The list was not changed."
            )
        if not todos:
            return "The list is empty."
        done = sum(item["status"] == "completed" for item in todos)
        lines = [f"{_MARKS[item['status']]} {item['content']}" for item in todos]
        return "\n".join([f"{done} of {len(todos)} done.", *lines])
