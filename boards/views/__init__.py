"""The operators' endpoints of boards and what is on them."""
