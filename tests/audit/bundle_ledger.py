"""A small ledger in memory: entries, eras of keys, checkpoints, proofs, witnesses. With nothing of the product's services.

It knows what docs/bundle-format.md says and uses the product only for canonical JSON, tree hashes, notes and keys, which have tests
of their own against vectors. A ledger can be forked, as a thief or an old backup does.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit import merkle, notes
from audit.signing import Signer
from registry.digests import canonical, parse_canonical, sha256

INSTANCE = "01890a5d-ac96-774b-bcce-b302099a8057"
ELSEWHERE = "01890a5d-ac96-774b-bcce-b302099a9999"
ORIGIN = f"pressmark/{INSTANCE}/1"
SYSTEM = INSTANCE
BIRTH = datetime.datetime(2026, 1, 2, 3, tzinfo=datetime.UTC)

Refs = list[dict[str, Any]]
Event = tuple[str, str, Refs, list[dict[str, Any]]]  # stream, kind, refs, records


def log_signer(seed: int = 1, origin: str = ORIGIN) -> Signer:
    return Signer.from_seed(origin, bytes([seed]) * 32)


def issuer_signer(seed: int = 2, origin: str = ORIGIN) -> Signer:
    return Signer.from_seed(origin + "/issuer", bytes([seed]) * 32)


def uuid(number: int) -> str:
    return f"01890a5d-ac96-774b-bcce-{number:012x}"


def ref(name: str, data: bytes) -> dict[str, Any]:
    return {"digest": sha256(data), "name": name, "size_bytes": len(data)}


@dataclass(frozen=True)
class Era:
    first: int
    log: Signer
    issuer: Signer
    note: bytes

    @property
    def origin(self) -> str:
        return self.log.name


@dataclass
class Ledger:
    """Entries with their positions; every act is one unit of one or more events."""

    eras: list[Era] = field(default_factory=list)
    entries: list[bytes] = field(default_factory=list)
    documents: dict[str, bytes] = field(default_factory=dict)
    last_seq: dict[str, int] = field(default_factory=dict)
    receipts: dict[int, bytes] = field(default_factory=dict)  # by first position
    units: int = 0

    @property
    def log(self) -> Signer:
        return self.eras[-1].log

    @property
    def issuer(self) -> Signer:
        return self.eras[-1].issuer

    @property
    def origin(self) -> str:
        return self.eras[-1].origin

    def era_of(self, position: int) -> Era:
        return next(era for era in reversed(self.eras) if era.first <= position)

    def act(self, *events: Event) -> bytes:
        """Append one unit; returns its receipt note."""
        first = len(self.entries)
        self.units += 1
        at = (BIRTH + datetime.timedelta(seconds=self.units)).strftime("%Y-%m-%dT%H:%M:%S.000000Z")
        for stream, kind, refs, records in events:
            event = {
                "actor": {"id": SYSTEM, "on_behalf_of": None, "role": "system", "via": "setup"},
                "at": at,
                "id": uuid(0x1000 + len(self.entries)),
                "kind": kind,
                "records": records,
                "refs": refs,
                "request": None,
                "team": None,
                "unit": uuid(0x900000 + self.units),
                "v": 1,
            }
            seq = self.last_seq[stream] = self.last_seq.get(stream, 0) + 1
            self.entries.append(canonical({"at": at, "event": event, "stream": stream, "stream_seq": seq, "v": 1}))
        leaves = [merkle.leaf_hash(entry) for entry in self.entries[first:]]
        self.receipts[first] = notes.sign_receipt(self.issuer, first, len(leaves), merkle.root(leaves), at)
        return self.receipts[first]

    def store(self, name: str, data: bytes) -> dict[str, Any]:
        self.documents[sha256(data)] = data
        return ref(name, data)

    def fork(self, size: int) -> Ledger:
        """The same ledger up to a size, to go on otherwise: an old backup, a copy, a thief's."""
        other = Ledger([era for era in self.eras if era.first < size], self.entries[:size], dict(self.documents))
        other.units = self.units + 1000  # its later acts are others than those that it left out
        for data in other.entries:
            entry: Any = parse_canonical(data)
            other.last_seq[entry["stream"]] = entry["stream_seq"]
        other.receipts = {first: note for first, note in self.receipts.items() if first < size}
        return other

    # eras

    def begin(self, kind: str, log: Signer, issuer: Signer, *signers: Signer, records: Any = ()) -> None:
        """An era from the next position on, its keys note signed by the given keys."""
        first = len(self.entries)
        note = notes.sign_keys(notes.KeysNote(log.name, first, log.public, issuer.public), *signers)
        self.eras.append(Era(first, log, issuer, note))
        self.act(("instance", kind, [self.store("keys", note)], list(records)))

    def _next(self, origin: str) -> tuple[Signer, Signer]:
        seed = 0x20 + 2 * len(self.eras)
        return log_signer(seed, origin), issuer_signer(seed + 1, origin)

    def rotate(self) -> None:
        before, (log, issuer) = self.eras[-1], self._next(self.origin)
        self.begin("key.rotated", log, issuer, log, issuer, before.log, before.issuer)

    def revoke(self) -> None:
        log, issuer = self._next(self.origin)
        self.begin("key.revoked", log, issuer, log, issuer)

    def reopen(self, origin: str, *, old: Ledger, agreed_size: int, **row: Any) -> None:
        """Go on under another origin; `old` is the ledger as it was last signed under the origin before."""
        before, (log, issuer) = self.eras[-1], self._next(origin)
        restored = origin.split("/")[1] == before.origin.split("/")[1]
        facts = {
            "kind": "ledger_restored" if restored else "ledger_copied",
            "old_origin": before.origin,
            "old_size": len(old.entries),
            "old_root": "sha256:" + merkle.root(old.leaves()).hex(),
            "agreed_size": agreed_size,
        } | row
        signers = [log, issuer, before.log, before.issuer] if restored else [log, issuer]
        record = {"id": uuid(0x700), "row": facts, "type": "audit.intervention/1"}
        self.begin("ledger.reopened", log, issuer, *signers, records=[record])

    # tree

    def leaves(self) -> list[bytes]:
        return [merkle.leaf_hash(entry) for entry in self.entries]

    def root(self, size: int | None = None) -> bytes:
        return merkle.root(self.leaves()[:size])

    def checkpoint(self, size: int | None = None) -> bytes:
        """Signed by the log key of its era."""
        leaves = self.leaves()[:size]
        return notes.sign_checkpoint(self.era_of(len(leaves) - 1).log, len(leaves), merkle.root(leaves))

    def inclusion(self, position: int, size: int) -> list[bytes]:
        return merkle.inclusion_path(self.leaves()[:size].__getitem__, position, size)

    def paths(self, size: int) -> list[list[bytes]]:
        """The inclusion paths of all leaves, each subtree hashed once."""
        leaves = self.leaves()[:size]
        paths: list[list[bytes]] = [[] for _ in leaves]

        def walk(low: int, high: int) -> bytes:
            if high - low == 1:
                return leaves[low]
            middle = low + (1 << (high - low - 1).bit_length() - 1)
            left, right = walk(low, middle), walk(middle, high)
            for position in range(low, high):
                paths[position].append(right if position < middle else left)
            return merkle.node_hash(left, right)

        walk(0, size)
        return paths

    def proof(self, position: int, size: int, receipt: bytes) -> bytes:
        """A tlog-proof with a receipt as its extra."""
        path = tuple(self.inclusion(position, size))
        return notes.TlogProof(position, path, self.checkpoint(size), receipt).text()

    def consistency(self, *old_sizes: int, size: int | None = None) -> bytes:
        """A `pressmark/consistency/1` document to `size`."""
        leaves = self.leaves()[:size]
        rows = [
            {
                "old_root": "sha256:" + merkle.root(leaves[:old]).hex(),
                "old_size": old,
                "path": [item.hex() for item in merkle.consistency_path(leaves.__getitem__, old, len(leaves))],
            }
            for old in sorted(set(old_sizes))
        ]
        return canonical({"proofs": rows, "size": len(leaves), "type": "pressmark/consistency/1"})


@dataclass(frozen=True)
class Witness:
    """A witness on another host that cosigns what it is shown (C2SP tlog-cosignature)."""

    name: str = "witness.example/w1"
    seed: int = 0x70

    @property
    def _private(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(bytes([self.seed]) * 32)

    @property
    def _raw(self) -> bytes:
        return self._private.public_key().public_bytes_raw()

    @property
    def _key_id(self) -> bytes:
        return hashlib.sha256(self.name.encode() + b"\n\x04" + self._raw).digest()[:4]

    @property
    def key_line(self) -> str:
        return f"{self.name}+{self._key_id.hex()}+{base64.b64encode(bytes([4]) + self._raw).decode()}"

    def cosign(self, checkpoint: bytes, seconds: int = 1_767_323_045, body: bytes | None = None) -> bytes:
        """The checkpoint with one more line; `body`: what is signed, if it is another text than the checkpoint's."""
        text = checkpoint.split(b"\n\n")[0] + b"\n" if body is None else body
        signature = self._private.sign(f"cosignature/v1\ntime {seconds}\n".encode() + text)
        line = base64.b64encode(self._key_id + seconds.to_bytes(8, "big") + signature).decode()
        return checkpoint + f"\u2014 {self.name} {line}\n".encode()
