"""From an open file to its signals: one read, one decode, in processes that may die of it."""
