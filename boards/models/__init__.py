"""What should be done: boards, seats and tasks."""

from boards.models.board import Board, Seat, SeatRole
from boards.models.task import Task, TaskStatus

__all__ = ["Board", "Seat", "SeatRole", "Task", "TaskStatus"]
