"""Sealing files into the vault, holding them in place, and restoring them."""
