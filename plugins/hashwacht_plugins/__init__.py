"""Hashwacht inside other people's programs; imports only the public names of hashwacht."""
