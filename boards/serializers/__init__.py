"""Shapes of boards and what is on them."""
