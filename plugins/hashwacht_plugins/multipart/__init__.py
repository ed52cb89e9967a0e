"""A streaming parser for multipart and raw request bodies, without I/O."""
