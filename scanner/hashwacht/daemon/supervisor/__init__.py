"""Runs all processes of the daemon under one command."""
