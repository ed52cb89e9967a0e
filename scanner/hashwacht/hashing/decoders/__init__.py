"""Decoders for what browsers show and Pillow does not, or not as they do."""
