"""Values, errors, ports and paths that every part shares: standard library only."""
