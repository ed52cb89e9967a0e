"""Cases: what follows from a match, and the decisions people make about it."""
