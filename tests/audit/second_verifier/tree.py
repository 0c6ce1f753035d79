"""The Merkle tree of RFC 6962, section 2.1, written as the recursive definitions of the RFC, not as the loops of RFC 9162.

A proof with too many or too few hashes does not hold: the recursion takes exactly those that the definition has.
"""

from hashlib import sha256

from .forms import MAX_PATH


class NoProof(Exception):
    """The hashes do not fit the shape of the tree."""


def leaf_hash(entry: bytes) -> bytes:
    return sha256(b"\x00" + entry).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


def _split(size: int) -> int:
    """The largest power of two below size."""
    return 1 << ((size - 1).bit_length() - 1)


def root_of(leaves: list[bytes]) -> bytes:
    if len(leaves) == 1:
        return leaves[0]
    k = _split(len(leaves))
    return _node(root_of(leaves[:k]), root_of(leaves[k:]))


def _climb(leaf: bytes, index: int, size: int, path: list[bytes]) -> bytes:
    if size == 1:
        if path:
            raise NoProof("hashes left over")
        return leaf
    if not path:
        raise NoProof("too few hashes")
    k, (*below, last) = _split(size), path
    if index < k:
        return _node(_climb(leaf, index, k, below), last)
    return _node(last, _climb(leaf, index - k, size - k, below))


def included(leaf: bytes, index: int, size: int, path: list[bytes], root: bytes) -> bool:
    try:
        return 0 <= index < size and len(path) <= MAX_PATH and _climb(leaf, index, size, path) == root
    except NoProof:
        return False


def _both_roots(m: int, n: int, whole: bytes | None, path: list[bytes]) -> tuple[bytes, bytes]:
    """What SUBPROOF(m, D[n], b) says about the roots over m and n leaves; `whole` is the old root while b is true."""
    if m == n:
        if whole is not None:
            path = [whole, *path]
        if len(path) != 1:
            raise NoProof("too many or too few hashes")
        return path[0], path[0]
    if not path:
        raise NoProof("too few hashes")
    k, (*below, last) = _split(n), path
    if m <= k:
        old, new = _both_roots(m, k, whole, below)
        return old, _node(new, last)
    old, new = _both_roots(m - k, n - k, None, below)
    return _node(last, old), _node(last, new)


def consistent(old_size: int, old_root: bytes, size: int, root: bytes, path: list[bytes]) -> bool:
    if not 1 <= old_size < size or len(path) > MAX_PATH:
        return False
    try:
        return _both_roots(old_size, size, old_root, path) == (old_root, root)
    except NoProof:
        return False
