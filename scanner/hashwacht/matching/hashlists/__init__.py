"""Local hash lists: import, index and search."""
