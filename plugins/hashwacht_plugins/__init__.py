"""Hashwacht for web applications; imports only the public names of hashwacht."""
