"""The operators' endpoints of who acts, a file a concept."""
