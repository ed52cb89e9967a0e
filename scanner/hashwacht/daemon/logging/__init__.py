"""Log output of the daemon's processes."""
