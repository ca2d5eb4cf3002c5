"""The operators' view of boards and what is on them; Django finds the pages here."""

from boards.admin import boards, tasks

__all__ = ["boards", "tasks"]
