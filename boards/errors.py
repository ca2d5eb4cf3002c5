"""Refusals of this app."""

from agents.errors import Refusal


class BoardNotFound(Refusal):
    """There is no such board in this organization."""

    code = "BOARD_NOT_FOUND"
    status_code = 404


class TaskNotFound(Refusal):
    """There is no such task on this board."""

    code = "TASK_NOT_FOUND"
    status_code = 404


class SeatNotFound(Refusal):
    """There is no such seat on this board."""

    code = "SEAT_NOT_FOUND"
    status_code = 404


class BoardSlugTaken(Refusal):
    """Another board of this organization has this slug."""

    code = "BOARD_SLUG_TAKEN"


class AlreadySeated(Refusal):
    """The agent has a seat already, and one is all that an agent has."""

    code = "AGENT_ALREADY_SEATED"


class LeadTaken(Refusal):
    """The board has a lead already, and one is all that a board has."""

    code = "BOARD_LEAD_TAKEN"


class ForeignAgent(Refusal):
    """The agent belongs to another organization."""

    code = "AGENT_NOT_FOUND"
    status_code = 404


class StillRunning(Refusal):
    """Work on this has a live execution; wait for it, or cancel it first."""

    code = "AGENT_ALREADY_RUNNING"
