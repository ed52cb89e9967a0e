"""Each mechanism of the operating system, wrapped once."""
