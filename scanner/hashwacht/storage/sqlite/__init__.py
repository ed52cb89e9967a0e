"""The SQLite database: connections, locks, schema and encoding."""
