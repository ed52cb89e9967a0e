"""Load everything that decoding will need, once, before workers are forked and confined.

Libraries import parts of themselves at the first picture of a format, and OpenBLAS maps its
working memory at the first matrix product (under a tight RLIMIT_AS it then tries for ever).  A
worker that finds all that done starts faster, shares the memory with the others, and needs to
open no file but the content.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module

from hashwacht.hashing.workers.tasks import TaskResult, WorkerTask

_FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF")
_TEXT = b"neither a picture nor anything that a signature tells\n"


def preload(digesting: WorkerTask, looking: WorkerTask) -> None:
    """Have them do one small content of each kind, whole and damaged.  Raises what they raise."""
    _one_thread_each()
    for sample in (_TEXT, *_pictures()):
        for content in (sample, sample[: len(sample) * 2 // 3]):
            _, copy = _worked(digesting, content)
            if copy is not None:
                try:
                    looking.run(copy)
                finally:
                    os.close(copy)


def _worked(digesting: WorkerTask, content: bytes) -> TaskResult:
    fd = os.memfd_create("sample")
    try:
        os.write(fd, content)
        os.lseek(fd, 0, os.SEEK_SET)
        return digesting.run(fd)
    finally:
        os.close(fd)


def _one_thread_each() -> None:
    """Keep decoders from starting threads: the workers are what uses the cores.

    HEIC has an extra of its own; without it there is nothing to set.
    """
    from PIL import AvifImagePlugin

    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    with suppress(ImportError):
        import_module("pillow_heif").options.DECODE_THREADS = 1


def _pictures() -> Iterator[bytes]:
    """Draw a gradient, large enough for every hash, in each format this Pillow writes."""
    from PIL import Image, features

    gradient = Image.linear_gradient("L").resize((64, 64)).convert("RGB")
    for name in _FORMATS:
        if name == "AVIF" and not features.check("avif"):
            continue
        file = io.BytesIO()
        gradient.save(file, name, **({"speed": 10, "max_threads": 1} if name == "AVIF" else {}))
        yield file.getvalue()
