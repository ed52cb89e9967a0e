"""The HTTP API: applications have files checked and look up hashes; dialects of other products."""
