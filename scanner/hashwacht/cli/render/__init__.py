"""How results are printed: text, JSON and HTML."""
