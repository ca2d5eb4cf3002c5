"""Executions that workers outside carry on, over HTTP and in any language."""
