"""Sandboxed worker processes that decode files, and the pool that runs them."""
