"""The socket on which web applications hand over uploads."""
