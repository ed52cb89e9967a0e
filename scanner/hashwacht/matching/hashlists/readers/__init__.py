"""Readers of hash lists, one module for each family of formats."""
