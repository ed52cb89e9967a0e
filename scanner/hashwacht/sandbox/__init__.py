"""What a process can give up, for good: files (Landlock), system calls (seccomp), the network."""
