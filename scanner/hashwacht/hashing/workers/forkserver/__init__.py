"""The process from which workers are forked, its client, and their protocol."""
