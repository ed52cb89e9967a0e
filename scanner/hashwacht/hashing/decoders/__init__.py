"""Decoders for what browsers show and Pillow does not, or not as they do."""


class PartlyDecoded(Exception):
    """The decoder cannot read the rest of a file that is not damaged."""
