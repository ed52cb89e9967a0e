"""Comparing roots and trees with the storage, to find what was not announced."""
