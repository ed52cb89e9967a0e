"""Fakes and contract suites for people who write matchers and signal types."""
