"""Archives: recognizing them, and reading their members with libarchive."""
