"""Driving the pipeline over existing storage: scan and recheck."""
