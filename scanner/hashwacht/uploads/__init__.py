"""Checking uploads of web applications, in the same process or through the daemon."""
