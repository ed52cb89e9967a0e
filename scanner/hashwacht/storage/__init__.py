"""Everything that must survive a crash, in SQLite."""
