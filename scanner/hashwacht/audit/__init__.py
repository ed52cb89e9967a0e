"""The audit log: an append-only chain of entries."""
