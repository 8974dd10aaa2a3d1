"""Files that appear complete or not at all, and are known by what is in them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
import hashlib
import os
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """
    Give the path of a file to be written, which then takes the place of another at once.

    What was there stays if the writing fails. Processes that write the same file do not meet.
    """
    partial = path.with_name(f'{path.name}.{os.getpid()}.partial')
    try:
        yield partial
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimals."""
    with path.open('rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()
