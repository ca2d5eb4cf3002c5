"""Every write of boards, seats and tasks, each in one transaction."""

from boards.actions.boards import (
    change_seat,
    configure_board,
    create_board,
    delete_board,
    pause_board,
    seat_agent,
    unpause_board,
    unseat_agent,
)
from boards.actions.tasks import change_task, create_task, delete_task

__all__ = [
    "change_seat",
    "change_task",
    "configure_board",
    "create_board",
    "create_task",
    "delete_board",
    "delete_task",
    "pause_board",
    "seat_agent",
    "unpause_board",
    "unseat_agent",
]
