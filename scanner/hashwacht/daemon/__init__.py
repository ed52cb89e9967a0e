"""The processes of the daemon, put together."""
