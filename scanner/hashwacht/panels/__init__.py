"""Hosting panels: which accounts, domains and document roots they have, by their own files."""
