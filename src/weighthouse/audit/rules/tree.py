"""The Merkle tree of RFC 6962: hashes, inclusion proofs and consistency proofs. Guards history from any rewrite.

Leaves and inner nodes are hashed with different prefixes, so that no inner node can pass for a leaf. Proofs are built
from a `NodeReader`, which returns the hash of one complete subtree, so the same code serves lists, tiles and files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()
MAX_SIZE = 2**63 - 1

# (height, index) -> hash of the complete subtree over leaves [index * 2**height, (index + 1) * 2**height).
NodeReader = Callable[[int, int], bytes]


def leaf_hash(leaf: bytes) -> bytes:
    """Return the hash of one leaf (RFC 6962, section 2.1)."""
    return hashlib.sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node (RFC 6962, section 2.1)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_of(hashes: Sequence[bytes]) -> bytes:
    """Return the Merkle tree hash over leaf hashes; the empty tree has the hash of the empty string.

    Pairing neighbours level by level, with an odd last hash moving up unchanged, gives the tree of RFC 6962.
    """
    if not hashes:
        return EMPTY_ROOT
    level = list(hashes)
    while len(level) > 1:
        paired = [node_hash(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        if len(level) % 2:
            paired.append(level[-1])
        level = paired
    return level[0]


def split(count: int) -> int:
    """Return the largest power of two smaller than `count` (which is at least 2)."""
    return 1 << (count - 1).bit_length() - 1


def range_root(low: int, high: int, node: NodeReader) -> bytes:
    """Return the Merkle tree hash of leaves [low, high), where low is where a subtree of that width may begin."""
    count = high - low
    if count == 0:
        return EMPTY_ROOT
    if count & (count - 1) == 0:
        height = count.bit_length() - 1
        return node(height, low >> height)
    middle = low + split(count)
    return node_hash(range_root(low, middle, node), range_root(middle, high, node))


def inclusion_proof(index: int, size: int, node: NodeReader) -> list[bytes]:
    """Return the audit path for leaf `index` in the tree of `size` leaves, from the leaf's sibling up to the root."""
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} is not in a tree of {size} leaves")
    siblings: list[tuple[int, int]] = []
    low, high = 0, size
    while high - low > 1:
        middle = low + split(high - low)
        if index < middle:
            siblings.append((middle, high))
            high = middle
        else:
            siblings.append((low, middle))
            low = middle
    return [range_root(start, end, node) for start, end in reversed(siblings)]


def consistency_proof(old: int, new: int, node: NodeReader) -> list[bytes]:
    """Return the proof that the tree of `new` leaves begins with the tree of `old` leaves; empty for 0 or equal."""
    if not 0 <= old <= new:
        raise ValueError(f"a tree of {old} leaves cannot be a beginning of one of {new}")
    if old in (0, new):
        return []
    ranges: list[tuple[int, int]] = []
    low, high, whole = 0, new, True
    while old != high:
        middle = low + split(high - low)
        if old <= middle:
            ranges.append((middle, high))
            high = middle
        else:
            ranges.append((low, middle))
            low, whole = middle, False
    if not whole:
        ranges.append((low, high))
    return [range_root(start, end, node) for start, end in reversed(ranges)]


def verify_inclusion(index: int, size: int, leaf: bytes, path: Sequence[bytes], root: bytes) -> bool:
    """Return whether `path` leads from the leaf hash `leaf` at `index` to `root` (RFC 9162, section 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    first, last, current = index, size - 1, leaf
    for sibling in path:
        if last == 0 or len(sibling) != HASH_BYTES:
            return False
        if first & 1 or first == last:
            current = node_hash(sibling, current)
            while not first & 1 and first:
                first, last = first >> 1, last >> 1
        else:
            current = node_hash(current, sibling)
        first, last = first >> 1, last >> 1
    return last == 0 and current == root


def verify_consistency(old: int, new: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes) -> bool:
    """Return whether `proof` shows that the new tree begins with the old one (RFC 9162, section 2.1.4.2)."""
    if not 0 <= old <= new or any(len(item) != HASH_BYTES for item in proof):
        return False
    if old == new:
        return not proof and old_root == new_root
    if old == 0:
        return not proof and old_root == EMPTY_ROOT
    steps = list(proof)
    if old & (old - 1) == 0:
        steps.insert(0, old_root)
    if not steps:
        return False
    first, last = old - 1, new - 1
    while first & 1:
        first, last = first >> 1, last >> 1
    from_old = from_new = steps[0]
    for sibling in steps[1:]:
        if last == 0:
            return False
        if first & 1 or first == last:
            from_old, from_new = node_hash(sibling, from_old), node_hash(sibling, from_new)
            while not first & 1 and first:
                first, last = first >> 1, last >> 1
        else:
            from_new = node_hash(from_new, sibling)
        first, last = first >> 1, last >> 1
    return last == 0 and from_old == old_root and from_new == new_root
