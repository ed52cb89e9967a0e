"""Small contents that need digests only: many in one request, their results packed."""
