"""Forms in contents: which bytes are the body of a request instead of a file, and their readers."""
