"""A streaming parser for multipart, URL-encoded and compressed bodies, without I/O."""
