"""What the daemon reports about itself: status, health and metrics."""
