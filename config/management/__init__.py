"""The commands that belong to no app."""
