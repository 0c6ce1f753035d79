"""The verifier's own Ed25519: the vectors of RFC 8032, and the edge cases on which implementations differ.

The rule (docs/bundle-format.md): `[S]B = R + [k]A` without the cofactor, S below the order, A and R in their canonical spelling,
no A of small order. The oracle is the library that the product signs with; the one difference to it is the last rule.
"""

from __future__ import annotations

import hashlib
import itertools
import random
from collections.abc import Iterator

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from audit import offline_verify
from audit.offline_verify import (
    BASE,
    ORDER,
    P,
    ed25519_verifies,
    point_add,
    point_decode,
    point_encode,
    sum_of_multiples,
)

RFC_8032 = [  # seed, message, signature
    (
        *("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60", b""),
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        *("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb", b"\x72"),
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        *("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7", b"\xaf\x82"),
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
    (
        *("833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42", hashlib.sha512(b"abc").digest()),
        "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704",
    ),
]
TORSION = [  # the eight points whose eighth multiple is neutral
    "0100000000000000000000000000000000000000000000000000000000000000",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
]
OTHER_SPELLINGS = [  # of points among them: y + P, and a sign where x is 0
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
]


def library_verifies(public: bytes, message: bytes, signature: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def challenge(commitment: bytes, public: bytes, message: bytes) -> int:
    return int.from_bytes(hashlib.sha512(commitment + public + message).digest(), "little") % ORDER


def messages() -> Iterator[bytes]:
    return (b"message %d" % number for number in itertools.count())


def point_multiply(scalar: int, point: offline_verify.Point) -> offline_verify.Point:
    return sum_of_multiples(scalar, point, 0, point)


def times_base(scalar: int) -> offline_verify.Point:
    assert BASE is not None
    return point_multiply(scalar, BASE)


def decoded(text: str) -> offline_verify.Point:
    point = point_decode(bytes.fromhex(text))
    assert point is not None
    return point


@pytest.mark.parametrize(("seed", "message", "signature"), RFC_8032)
def test_the_signatures_of_rfc_8032_hold(seed: str, message: bytes, signature: str) -> None:
    key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(seed))
    public = key.public_key().public_bytes_raw()
    assert key.sign(message).hex() == signature
    assert ed25519_verifies(public, message, bytes.fromhex(signature))
    assert not ed25519_verifies(public, message + b"x", bytes.fromhex(signature))


def test_signatures_of_many_keys_hold_and_changed_ones_do_not() -> None:
    chance = random.Random(3)
    for _ in range(25):
        key = Ed25519PrivateKey.from_private_bytes(chance.randbytes(32))
        public, message = key.public_key().public_bytes_raw(), chance.randbytes(chance.randrange(1200))
        signature = key.sign(message)
        assert ed25519_verifies(public, message, signature)
        at = chance.randrange(64)
        changed = signature[:at] + bytes([signature[at] ^ 1 << chance.randrange(8)]) + signature[at + 1 :]
        assert not ed25519_verifies(public, message, changed)


def test_the_second_spelling_of_s_is_refused() -> None:
    key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    public, signature = key.public_key().public_bytes_raw(), key.sign(b"x")
    s = int.from_bytes(signature[32:], "little")
    for other in (s + ORDER, ORDER, s + 2**253, 2**256 - 1):
        assert not ed25519_verifies(public, b"x", signature[:32] + (other % 2**256).to_bytes(32, "little"))


@pytest.mark.parametrize("public", TORSION + OTHER_SPELLINGS)
def test_keys_of_small_order_sign_nothing_though_the_equation_holds(public: str) -> None:
    key = bytes.fromhex(public)
    point = point_decode(key) or decoded(TORSION[0])
    for message in messages():
        s = 5
        commitment = point_encode(times_base(s))
        if challenge(commitment, key, message) % 8 == 0 and point_encode(point_multiply(8, point)) == bytes.fromhex(
            TORSION[0]
        ):
            signature = commitment + s.to_bytes(32, "little")
            assert not ed25519_verifies(key, message, signature)
            if public in TORSION:
                assert library_verifies(key, message, signature)  # this is what the rule is there for
            return


@pytest.mark.parametrize("spelling", OTHER_SPELLINGS)
def test_other_spellings_of_points_are_not_read_as_keys_or_commitments(spelling: str) -> None:
    assert point_decode(bytes.fromhex(spelling)) is None
    key = Ed25519PrivateKey.from_private_bytes(bytes([7]) * 32)
    public = key.public_key().public_bytes_raw()
    scalar = int.from_bytes(hashlib.sha512(bytes([7]) * 32).digest()[:32], "little") & (2**254 - 8) | 2**254
    commitment = bytes.fromhex(spelling)
    s = challenge(commitment, public, b"m") * scalar % ORDER  # holds for the neutral commitment in another spelling
    signature = commitment + s.to_bytes(32, "little")
    assert not ed25519_verifies(public, b"m", signature)
    assert not library_verifies(public, b"m", signature)


@pytest.mark.parametrize("torsion", TORSION[1:])
def test_the_equation_is_asked_without_the_cofactor(torsion: str) -> None:
    """A key with a part of small order: where that part does not cancel, a check with the cofactor would say yes."""
    scalar, nonce = 0x1234567, 0x7654321
    key = point_encode(point_add(times_base(scalar), decoded(torsion)))
    commitment = point_encode(times_base(nonce))
    seen = set()
    for message in messages():
        k = challenge(commitment, key, message)
        signature = commitment + ((nonce + k * scalar) % ORDER).to_bytes(32, "little")
        cancels = point_encode(point_multiply(k, decoded(torsion))) == bytes.fromhex(TORSION[0])
        assert ed25519_verifies(key, message, signature) is cancels
        assert library_verifies(key, message, signature) is cancels
        seen.add(cancels)
        if seen == {True, False}:
            return


@pytest.mark.parametrize("torsion", TORSION)
def test_a_commitment_of_small_order_is_judged_by_the_equation_alone(torsion: str) -> None:
    scalar = 0x1234567
    key, commitment = point_encode(times_base(scalar)), bytes.fromhex(torsion)
    s = challenge(commitment, key, b"m") * scalar % ORDER
    holds = torsion == TORSION[0]
    assert ed25519_verifies(key, b"m", commitment + s.to_bytes(32, "little")) is holds
    assert library_verifies(key, b"m", commitment + s.to_bytes(32, "little")) is holds


def test_what_is_no_point_or_has_another_length_is_refused() -> None:
    key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    public, signature = key.public_key().public_bytes_raw(), key.sign(b"x")
    no_point = next(y.to_bytes(32, "little") for y in range(2, 99) if point_decode(y.to_bytes(32, "little")) is None)
    neutral = bytes.fromhex(TORSION[0])
    for other in (no_point, public[:31], public + b"\0", b"", (P + 1).to_bytes(32, "little"), neutral):
        assert not ed25519_verifies(other, b"x", signature)
    for other in (signature[:63], signature + b"\0", b"", no_point + signature[32:], neutral + bytes(32)):
        assert not ed25519_verifies(public, b"x", other)
