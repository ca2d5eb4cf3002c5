"""The agent-scoped API: what an agent reads and does, with its own token."""
