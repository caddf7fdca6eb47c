"""The tree of RFC 6962 against published vectors, a naive recursion and the verifier's own implementation."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weighthouse.audit.rules import tiles, tree
from weighthouse_verify import tree as theirs

# The reference leaves and roots of the Certificate Transparency implementations.
LEAVES = [
    bytes.fromhex(leaf)
    for leaf in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
PATH_OF_0_IN_8 = (
    "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
    "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
    "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
)
PROOF_6_TO_8 = (
    "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
    "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
)


def naive_root(leaves: list[bytes]) -> bytes:
    """MTH exactly as RFC 6962, section 2.1, writes it."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0]).digest()
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return sha256(b"\x01" + naive_root(leaves[:k]) + naive_root(leaves[k:])).digest()


def naive_path(index: int, leaves: list[bytes]) -> list[bytes]:
    """PATH exactly as RFC 6962, section 2.1.1, writes it."""
    if len(leaves) == 1:
        return []
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    if index < k:
        return [*naive_path(index, leaves[:k]), naive_root(leaves[k:])]
    return [*naive_path(index - k, leaves[k:]), naive_root(leaves[:k])]


def naive_consistency(old: int, leaves: list[bytes], whole: bool = True) -> list[bytes]:
    """SUBPROOF exactly as RFC 6962, section 2.1.2, writes it."""
    if old == len(leaves):
        return [] if whole else [naive_root(leaves)]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    if old <= k:
        return [*naive_consistency(old, leaves[:k], whole), naive_root(leaves[k:])]
    return [*naive_consistency(old - k, leaves[k:], False), naive_root(leaves[:k])]


def numbered(size: int) -> list[bytes]:
    return [b"%d" % number for number in range(size)]


class Tiled:
    """A tree in memory, grown in batches like the stored one."""

    def __init__(self, leaves: list[bytes], batches: list[int]) -> None:
        self.edge = tiles.Edge()
        self.tiles: dict[tuple[int, int], bytes] = {}
        at = 0
        for batch in [*batches, len(leaves)]:
            chunk = leaves[at : at + batch]
            at += len(chunk)
            growth = tiles.grow(self.edge, [tree.leaf_hash(leaf) for leaf in chunk])
            self.edge = growth.edge
            self.tiles.update(growth.tiles)

    def read(self, level: int, index: int) -> bytes:
        return self.tiles.get((level, index), b"")

    @property
    def node(self) -> tree.NodeReader:
        return tiles.node_from_tiles(self.read)


@pytest.mark.parametrize("size", range(1, 9))
def test_roots_match_the_reference_vectors(size: int) -> None:
    assert tree.root_of([tree.leaf_hash(leaf) for leaf in LEAVES[:size]]).hex() == ROOTS[size - 1]
    assert theirs.root(b"".join(theirs.leaf_hash(leaf) for leaf in LEAVES[:size])).hex() == ROOTS[size - 1]


def test_the_empty_tree_has_the_hash_of_nothing() -> None:
    assert tree.root_of([]) == tiles.Edge().root() == theirs.root(b"") == sha256(b"").digest()


def test_proofs_match_the_reference_vectors() -> None:
    tiled = Tiled(LEAVES, [])
    assert [item.hex() for item in tree.inclusion_proof(0, 8, tiled.node)] == list(PATH_OF_0_IN_8)
    assert [item.hex() for item in tree.consistency_proof(6, 8, tiled.node)] == list(PROOF_6_TO_8)


@given(st.integers(1, 700), st.lists(st.integers(1, 300), max_size=5), st.data())
def test_tiles_proofs_and_roots_agree_with_the_naive_recursion(
    size: int, batches: list[int], data: st.DataObject
) -> None:
    leaves = numbered(size)
    tiled = Tiled(leaves, batches)
    root = naive_root(leaves)
    assert tiled.edge.root() == root == tree.range_root(0, size, tiled.node)
    assert tiles.edge_from_tiles(size, tiled.read) == tiled.edge

    index = data.draw(st.integers(0, size - 1))
    path = tree.inclusion_proof(index, size, tiled.node)
    assert path == naive_path(index, leaves)
    leaf = tree.leaf_hash(leaves[index])
    assert tree.verify_inclusion(index, size, leaf, path, root)
    assert theirs.path_root(index, size, leaf, path) == root

    old = data.draw(st.integers(1, size))
    proof = tree.consistency_proof(old, size, tiled.node)
    assert proof == naive_consistency(old, leaves)
    assert tree.verify_consistency(old, size, proof, naive_root(leaves[:old]), root)


@given(st.integers(2, 400), st.data())
def test_a_proof_with_anything_changed_is_refused(size: int, data: st.DataObject) -> None:
    leaves = numbered(size)
    tiled = Tiled(leaves, [])
    root = tiled.edge.root()
    index = data.draw(st.integers(0, size - 1))
    path = tree.inclusion_proof(index, size, tiled.node)
    leaf = tree.leaf_hash(leaves[index])
    other = data.draw(st.integers(0, size - 1).filter(lambda n: n != index))
    assert not tree.verify_inclusion(other, size, leaf, path, root)
    assert not tree.verify_inclusion(index, size, leaf, path[:-1], root)
    assert not tree.verify_inclusion(index, size, leaf, [*path, root], root)
    assert not tree.verify_inclusion(index, size, tree.leaf_hash(b"forged"), path, root)
    assert theirs.path_root(index, size, leaf, path[:-1]) is None
    assert theirs.path_root(index, size, leaf, [*path, root]) is None

    old = data.draw(st.integers(1, size - 1))
    proof = tree.consistency_proof(old, size, tiled.node)
    old_root = naive_root(leaves[:old])
    assert not tree.verify_consistency(old, size, proof, naive_root([*leaves[: old - 1], b"forged"]), root)
    assert not tree.verify_consistency(old, size, proof[:-1], old_root, root)
    assert not tree.verify_consistency(old, size, [*proof, root], old_root, root)
    assert not tree.verify_consistency(size, old, proof, root, old_root)


@given(st.integers(0, 70_000))
def test_the_verifiers_edge_has_the_same_root(size: int) -> None:
    hashes = [sha256(b"%d" % n).digest() for n in range(size % 900)]
    growth = tiles.grow(tiles.Edge(), hashes)
    assert theirs.edge_root(growth.edge.tails) == growth.edge.root() == tree.root_of(hashes)


def test_tile_paths_and_widths_are_those_of_the_specification() -> None:
    assert tiles.index_path(1_234_067) == "x001/x234/067"
    assert tiles.tile_path(0, 1_234_067, 112) == "tile/0/x001/x234/067.p/112" == theirs.tile_name(0, 1_234_067, 112)
    assert tiles.entries_path(5) == "tile/entries/005" == theirs.tile_name("entries", 5, 256)
    level = [list(tiles.tile_widths(70_000, number)) for number in range(tiles.levels(70_000))]
    assert [len(found) for found in level] == [274, 2, 1]
    assert [found[-1] for found in level] == [(273, 112), (1, 17), (0, 1)]
    assert [list(tiles.tile_widths(256, number)) for number in range(2)] == [[(0, 256)], [(0, 1)]]


def test_case_17_a_level_1_hash_never_covers_a_partial_tile() -> None:
    growth = tiles.grow(tiles.Edge(), [tree.leaf_hash(leaf) for leaf in numbered(255)])
    assert set(growth.tiles) == {(0, 0)}
    assert set(tiles.grow(growth.edge, [tree.leaf_hash(b"last")]).tiles) == {(0, 0), (1, 0)}
