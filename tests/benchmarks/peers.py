"""The code a user would write with the usual packages, in a module that workers can import."""

from __future__ import annotations

import hashlib
from pathlib import Path


def fingerprint(path: Path) -> None:
    """Hash as the packages' documentation shows: hashlib thrice, PdqSignal, imagehash twice."""
    import imagehash
    from PIL import Image
    from threatexchange.signal_type.pdq.signal import PdqSignal

    content = path.read_bytes()
    for name in ("md5", "sha1", "sha256"):
        hashlib.new(name, content).hexdigest()
    PdqSignal.hash_from_bytes(content)
    with Image.open(path) as image:
        str(imagehash.phash(image))
        str(imagehash.dhash(image))
