"""Says which tools an agent has on a board, and which of them a lead hands on to a worker."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from agents.models import Agent
from agents.runtime.spec import DEFAULT_TOOLS
from agents.runtime.tools.registry import EVERY_TOOL
from boards.errors import ToolNotAllowed
from boards.models import Board


def allowed_tools(agent: Agent, board: Board | None) -> Sequence[str]:
    """The names of an agent's tools: its own list, else its board's, else the default ones."""
    if agent.tools is not None:
        return list(agent.tools)
    return _of_board(board)


def handed_on(lead: Agent, board: Board, wanted: Sequence[str] | None) -> Sequence[str] | None:
    """The tools of a worker that a lead creates: those it wants, which have to be its own.

    Where it names none the worker has those of the board that the lead has too; null, which
    follows the board, where these are all of them whatever the board becomes. Raises
    `ToolNotAllowed`.
    """
    own = allowed_tools(lead, board)
    if wanted is None:
        common = [name for name in _narrower(_of_board(board), own) if _has(own, name)]
        follows = lead.tools is None or EVERY_TOOL in own
        return None if follows and common == _of_board(board) else common
    beyond = [name for name in wanted if not _has(own, name)]
    if beyond:
        raise ToolNotAllowed(tools=beyond, allowed=sorted(own))
    return list(wanted)


def _of_board(board: Board | None) -> Sequence[str]:
    return list(DEFAULT_TOOLS if board is None or board.tools is None else board.tools)


def _narrower(names: Sequence[str], own: Sequence[str]) -> Sequence[str]:
    """The names, or the lead's own where the names are every tool there is."""
    return own if EVERY_TOOL in names else names


def _has(own: Collection[str], name: str) -> bool:
    return name in own or EVERY_TOOL in own
