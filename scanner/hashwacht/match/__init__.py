"""Asking what is known: local hash lists and matching services, one file each."""
