"""A disk that is full at an exact byte: the kernel's file size limit makes real short writes, and then errors."""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Iterator


@contextlib.contextmanager
def full_at(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond `size`: a write across it takes what fits, one behind it EFBIG.

    Python ignores SIGXFSZ, so that the process lives on (setrlimit(2)).
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
