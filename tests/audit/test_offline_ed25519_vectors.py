"""Published vectors against the verifier's own Ed25519, the second verifier's, the library that we sign with, and openssl.

Those of RFC 8032 hold for all. Of the twelve of "Taming the many EdDSAs" (Chalkias, Garillot, Nikolaenko, SSR 2020), on which
implementations differ, this verifier takes two: R of small order, and mixed A and R where the equation without the cofactor
holds. The library and openssl take three more, all with a public key of small order, which would sign anything: refused here by
rule (docs/bundle-format.md, Signatures). So nothing holds here that does not hold there.
"""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.offline_verify import ed25519_verifies
from tests.audit.second_verifier.keys import ed25519_holds
from tests.audit.test_offline_ed25519 import library_verifies

VECTORS = json.loads(Path(__file__).with_name("ed25519_vectors.json").read_text())
RFC_8032: list[dict[str, str]] = VECTORS["rfc_8032"]["vectors"]
MANY_EDDSAS: list[dict[str, Any]] = VECTORS["many_eddsas"]["vectors"]


def parts(vector: dict[str, Any]) -> tuple[bytes, bytes, bytes]:
    """Public key, message, signature."""
    key, message, signature = (bytes.fromhex(vector[name]) for name in ("public", "message", "signature"))
    return key, message, signature


def openssl_verifies(folder: Path, public: bytes, message: bytes, signature: bytes) -> bool:
    body = base64.b64encode(bytes.fromhex("302a300506032b6570032100") + public).decode()
    (folder / "key.pem").write_text(f"-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n")
    (folder / "message").write_bytes(message)
    (folder / "signature").write_bytes(signature)
    words = ["pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", "key.pem", "-in", "message", "-sigfile", "signature"]
    return subprocess.run(["openssl", *words], cwd=folder, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("vector", RFC_8032, ids=["1023 bytes", "SHA(abc)"])
def test_the_longer_vectors_of_rfc_8032_hold_for_everybody_and_a_changed_byte_for_nobody(
    vector: dict[str, str], tmp_path: Path
) -> None:
    key, message, signature = parts(vector)
    assert Ed25519PrivateKey.from_private_bytes(bytes.fromhex(vector["seed"])).sign(message) == signature
    for data, holds in ((message, True), (message[:-1], False), (message[:-1] + bytes([message[-1] ^ 1]), False)):
        assert ed25519_verifies(key, data, signature) is holds
        assert ed25519_holds(key, signature, data) is holds
        assert library_verifies(key, data, signature) is holds
        assert openssl_verifies(tmp_path, key, data, signature) is holds


@pytest.mark.parametrize("vector", MANY_EDDSAS, ids=[str(number) for number in range(len(MANY_EDDSAS))])
def test_each_of_the_vectors_on_which_implementations_differ_has_the_verdict_that_our_rule_gives(
    vector: dict[str, Any], tmp_path: Path
) -> None:
    key, message, signature = parts(vector)
    assert ed25519_verifies(key, message, signature) is vector["verifier"], vector["about"]
    assert ed25519_holds(key, signature, message) is vector["verifier"], vector["about"]
    assert library_verifies(key, message, signature) is vector["library"], vector["about"]
    assert openssl_verifies(tmp_path, key, message, signature) is vector["library"], vector["about"]


def test_there_are_twelve_and_ours_differs_only_by_refusing_keys_of_small_order() -> None:
    assert len(MANY_EDDSAS) == 12
    differ = [vector for vector in MANY_EDDSAS if vector["verifier"] is not vector["library"]]
    assert all(vector["library"] and "A of small order" in vector["about"] for vector in differ)
    assert [number for number, vector in enumerate(MANY_EDDSAS) if vector["verifier"]] == [2, 3]
