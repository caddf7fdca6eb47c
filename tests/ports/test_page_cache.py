"""Taking shared files out of memory one by one, as a server does that may not empty the machine's page cache."""

from __future__ import annotations

import mmap
import os
import resource
from pathlib import Path

from weighthouse.runs.adapters import page_cache

PAGES = 64


def in_memory(file: Path) -> int:
    """How many pages of a file can be touched without a read of the disk, as the kernel counts for who touches."""
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, mmap.MAP_SHARED, mmap.PROT_READ) as shown:
        shown.madvise(mmap.MADV_RANDOM)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_majflt
        for page in range(0, len(shown), 16 * mmap.PAGESIZE):
            shown[page]
        return (
            len(range(0, len(shown), 16 * mmap.PAGESIZE))
            - resource.getrusage(resource.RUSAGE_SELF).ru_majflt
            + before
        )


def test_files_below_a_tree_and_a_file_named_by_itself_are_taken_out_of_memory(tmp_path: Path) -> None:
    tree, alone, other = tmp_path / "tree" / "deep" / "a", tmp_path / "alone", tmp_path / "other"
    tree.parent.mkdir(parents=True)
    for file in (tree, alone, other):
        file.write_bytes(os.urandom(PAGES * 16 * mmap.PAGESIZE))
        descriptor = os.open(file, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
    (tmp_path / "tree" / "link").symlink_to(other)
    (tmp_path / "tree" / "loop").symlink_to(tmp_path / "tree")
    os.mkfifo(tmp_path / "tree" / "pipe")  # nobody ever writes into it, and nobody waits for that
    page_cache.walked([tmp_path / "tree", tmp_path / "tree" / "deep", alone, tmp_path / "none"])
    assert [in_memory(file) for file in (tree, alone, other)] == [0, 0, PAGES]
