"""Watching executions: their events from rows, what they show meanwhile from hints."""
