"""The tools that a model can use, and what keeps them inside their worktree."""
