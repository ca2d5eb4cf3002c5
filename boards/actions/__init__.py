"""Every write of boards, seats and tasks, each in one transaction."""

from boards.actions.approvals import (
    ApprovalRequest,
    ask_approval,
    decide_approval,
    withdraw_approval,
)
from boards.actions.boards import (
    configure_board,
    create_board,
    delete_board,
    pause_board,
    unpause_board,
)
from boards.actions.comments import comment_on
from boards.actions.memory import forget, remember
from boards.actions.seats import change_seat, seat_agent, unseat_agent
from boards.actions.tasks import (
    begin_task,
    change_task,
    claim_task,
    create_task,
    delete_task,
    hand_in_task,
    move_task,
)

__all__ = [
    "ApprovalRequest",
    "ask_approval",
    "begin_task",
    "change_seat",
    "change_task",
    "claim_task",
    "comment_on",
    "configure_board",
    "create_board",
    "create_task",
    "decide_approval",
    "delete_board",
    "delete_task",
    "forget",
    "hand_in_task",
    "move_task",
    "pause_board",
    "remember",
    "seat_agent",
    "unpause_board",
    "unseat_agent",
    "withdraw_approval",
]
