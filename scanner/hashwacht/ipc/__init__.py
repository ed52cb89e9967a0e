"""Messages between the processes: frames, one strict message codec and Unix sockets."""
