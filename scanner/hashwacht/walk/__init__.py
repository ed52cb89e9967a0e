"""Directory walks that resist symlink races, and the rules that select files."""
