"""Clients of remote matching services, one file per protocol."""
