"""Getting contents in: walking trees under attack, and the rules that choose files."""
