"""Waiting for rows without a thread or a connection for each who waits."""
