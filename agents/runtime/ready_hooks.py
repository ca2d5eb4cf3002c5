"""Hooks that every agent can have: one denies pushing, one shows no e-mail addresses.

They are found without `SIGNALBOX_MODULES`. An agent has them by its configuration:
`{"pre_tool": ["agents.runtime.ready_hooks:keep_remotes"],
  "post_tool": ["agents.runtime.ready_hooks:mask_addresses"]}`
"""

from __future__ import annotations

import re

from agents.runtime.facts import ToolRequest, ToolResult
from agents.runtime.tools.registry import Workspace

_ADDRESS = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,9}")


def keep_remotes(request: ToolRequest, workspace: Workspace) -> str | None:
    """Deny commands that push: people do that when they have seen the diff."""
    if request.name == "Bash" and re.search(r"\bgit\b.*\bpush\b", request.arguments["command"]):
        return "pushing is left to people; say in your answer what should be pushed"
    return None


def mask_addresses(request: ToolRequest, result: ToolResult) -> str | None:
    """Show no e-mail address that a tool has put out."""
    shown = _ADDRESS.sub("[address]", result.output)
    return None if shown == result.output else shown
