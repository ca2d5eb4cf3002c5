"""From completed to merged or reworked: work is handed in, and a person says yes or no."""
