"""The operators' view of executions and their workers; Django finds the pages here."""

from executions.admin import at_work, effects, executions, files, tool_calls, transcripts, workers

__all__ = ["at_work", "effects", "executions", "files", "tool_calls", "transcripts", "workers"]
