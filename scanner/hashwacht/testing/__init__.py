"""Fakes and contract suites that others can use too."""
