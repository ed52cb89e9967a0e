"""From an open file to its signals: one read, one decode."""
