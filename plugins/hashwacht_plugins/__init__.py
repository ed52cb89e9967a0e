"""Hashwacht for web applications; imports public names of hashwacht and its form parser only."""
