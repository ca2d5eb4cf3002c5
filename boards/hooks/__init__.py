"""What comes from outside through the webhooks of boards: judged, put into words, begun."""
