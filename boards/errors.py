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


class NotOnThisBoard(Refusal):
    """The agent has no seat on this board."""

    code = "NOT_ON_THIS_BOARD"
    status_code = 403


class FieldNotAllowed(Refusal):
    """The caller's part does not let it change these fields of a task."""

    code = "FIELD_NOT_ALLOWED"
    status_code = 403


class MoveNotAllowed(Refusal):
    """The caller's part does not let it move the task there."""

    code = "MOVE_NOT_ALLOWED"
    status_code = 403


class TaskNotYours(Refusal):
    """The task is assigned to another agent."""

    code = "TASK_NOT_YOURS"
    status_code = 403


class TaskClaimed(Refusal):
    """Another agent has the task, or it is not there to be claimed."""

    code = "TASK_CLAIMED"


class TaskBlocked(Refusal):
    """The task waits for others that are not done."""

    code = "TASK_BLOCKED"


class TaskDone(Refusal):
    """The task is done; move it back first, if there is more to do."""

    code = "TASK_DONE"


class AgentNotSeated(Refusal):
    """Work on a task is for agents with a seat on its board."""

    code = "AGENT_NOT_SEATED"


class ApprovalPending(Refusal):
    """The task has a pending approval, and its board lets nothing move until it is decided."""

    code = "APPROVAL_PENDING"


class ReviewRequired(Refusal):
    """On this board a task is done only from review."""

    code = "REVIEW_REQUIRED"


class ApprovalRequired(Refusal):
    """On this board a task is done only with an approval, decided since it last entered review."""

    code = "APPROVAL_REQUIRED"


class CommentRequired(Refusal):
    """On this board a task enters review only with a comment since it was started."""

    code = "COMMENT_REQUIRED"
    status_code = 422


class LeadRequired(Refusal):
    """On this board only the lead changes the status of a task."""

    code = "LEAD_REQUIRED"
    status_code = 403


class AssigneeElsewhere(Refusal):
    """The assignee has its seat on another board."""

    code = "ASSIGNEE_ELSEWHERE"


class AssigneeIsLead(Refusal):
    """A lead gives work to workers, and not to leads."""

    code = "ASSIGNEE_IS_LEAD"
    status_code = 403


class DependencyCycle(Refusal):
    """The task would wait for itself, by way of what it waits for."""

    code = "DEPENDENCY_CYCLE"


class WaitsForItself(Refusal):
    """A task cannot wait for itself."""

    code = "WAITS_FOR_ITSELF"
    status_code = 422


class CommentNotAllowed(Refusal):
    """A lead comments on tasks in review, on those it created, and where it was mentioned."""

    code = "COMMENT_NOT_ALLOWED"
    status_code = 403


class ToolNotAllowed(Refusal):
    """A lead gives a worker no tool that it does not have itself."""

    code = "AGENT_TOOL_NOT_ALLOWED"
    status_code = 403


class LeadsOnly(Refusal):
    """Only the lead of the board may do this."""

    code = "LEADS_ONLY"
    status_code = 403


class UnknownTasks(Refusal):
    """Some of these tasks are not on this board."""

    code = "TASK_NOT_FOUND"
    status_code = 404


class EmptyComment(Refusal):
    """A comment has words."""

    code = "COMMENT_EMPTY"
    status_code = 422


class PayloadNotFound(Refusal):
    """There is no such payload of such a webhook on this board."""

    code = "PAYLOAD_NOT_FOUND"
    status_code = 404
