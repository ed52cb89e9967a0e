"""Matchers: local hash lists and matching services, queried with hashes only."""
