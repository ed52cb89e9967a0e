"""Messages between the processes: signals, answers and notices, and nothing else."""
