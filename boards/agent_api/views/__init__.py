"""The operations of the agent API, a file a concept."""
