"""How the SQLite database is opened, locked, migrated and encoded."""
