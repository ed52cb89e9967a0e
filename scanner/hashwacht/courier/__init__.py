"""The process that may talk to the network, and sees no file."""
