"""The page `VERIFY.md` of a bundle: how a stranger checks it, with nothing of ours."""

from __future__ import annotations

_PAGE = """# How to check this bundle

Bundle `{bundle}` of the log `{origin}`, about `{subject}`.

You need three things that are NOT in this bundle, for whoever made it could have made them up:

1. the verifier: Pressmark's own (`pressmark verify`) or a published copy of `offline_verify.py`; the `verify.py` that lies
   here is a convenience, and the real one says whether it is the same;
2. a key line of the log, as it was given to you before. It begins with the name above and `+{log_key_id}+` (log key), or with
   that name, `/issuer` and `+{issuer_key_id}+` (issuer key); an older one does, where the notes in `keys/` lead on from it;
3. a checkpoint of the log that you kept yourself.

    python3 verify.py BUNDLE.zip --key KEYLINE_OR_FILE --checkpoint FILE

BUNDLE.zip is the zip file as it was handed to you, not a folder that you unpacked it into. An equal checkpoint is compared;
older ones are reached by the proofs in `log/consistency.json`. For a newer one, and for an older one that no proof in there
begins at, "streams whole" stays "not checked" until you have the consistency proof between the two: the verifier says from
which size to which. Ask whoever runs the log for it (`pressmark prove-consistency OLD NEW --output proof.json`, or
`GET /api/v1/ledger/consistency?old=OLD&new=NEW`), and give it:

    python3 verify.py BUNDLE.zip --key KEYLINE_OR_FILE --checkpoint FILE --proof proof.json

A witness's key line (`--witness`) does as well as a checkpoint, where the witness signed `log/checkpoint`.

Four answers come: files intact; signature good; key known; streams whole. Exit status 0: four times yes. 1: something is wrong, and
it is named. 3: nothing is wrong, but something was not checked, because you gave no key or no checkpoint.

The signature alone can be checked with what your machine has:

    openssl pkeyutl -verify -rawin -pubin -inkey keys/issuer.pem -in manifest.json -sigfile manifest.sig
    ssh-keygen -Y verify -f keys/allowed_signers -I {issuer_name} -n pressmark-bundle -s manifest.json.sig < manifest.json

What is inside: `log/entries.jsonl` the entries, byte for byte; `log/proofs.json` that each of them stands in the tree
of `log/checkpoint`; `log/consistency.json` that this tree continues older ones; `keys/keys-*.note` which keys signed
from which position on; `documents/` what the entries refer to, named by SHA-256, and `not_included.json` what is left
out and why; `texts.json` what people wrote, with the salt that opens each commitment; `statements/` who made what from
what, and what the gate said of it, in the formats of in-toto and SLSA; `report.*` the issued report. The streams of the
scope are whole: their numbers have no gap, and their ends were sealed when the bundle was issued.

What this cannot show: that what people said is true, and that nothing else happened outside the streams of the scope.
"""


def verify_page(
    *, bundle: str, origin: str, subject: str, log_key_id: str, issuer_key_id: str, issuer_name: str
) -> bytes:
    """The page for one bundle."""
    return _PAGE.format(
        bundle=bundle, origin=origin, subject=subject, log_key_id=log_key_id, issuer_key_id=issuer_key_id,
        issuer_name=issuer_name,
    ).encode()  # fmt: skip
