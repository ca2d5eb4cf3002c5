"""A tool that touches no file, for runs that measure the engine and not git."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agents.runtime.tools.registry import Workspace, parameters


class Note:
    """Answers with what it is given, as a call to another service would."""

    name = "Note"
    description = "Take a note."
    parameters: Mapping[str, Any] = parameters({"text": {"type": "string"}}, required=["text"])
    repeatable = True
    changes_files = False
    uses_files = False

    def run(self, arguments: Mapping[str, Any], workspace: Workspace) -> str:
        """See `Tool.run`."""
        return f"Noted: {arguments['text']}"
