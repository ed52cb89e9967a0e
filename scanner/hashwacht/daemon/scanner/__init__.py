"""The scanner process of the daemon."""
