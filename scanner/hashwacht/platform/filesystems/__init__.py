"""Which file systems there are, what they are, whether they respond, and handles of their files."""
