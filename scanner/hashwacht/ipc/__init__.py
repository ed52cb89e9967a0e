"""Messages between our own processes: framing, encoding and Unix sockets."""
