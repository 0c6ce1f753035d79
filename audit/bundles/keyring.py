"""Whose keys a bundle carries and who signs it: the eras below its checkpoint, and the issuer key of the last of them.

Rules:
- every era that begins below the tree's size is in the bundle, with its keys note; the key files are those of the last one;
- the same bundle is signed by the same key for ever: the one in force at its checkpoint, not the newest;
- a key that was revoked signs nothing any more, nor does one of the ledger that this one was copied from: the bundle is gone, and
  a new one is to be issued; the same where only its file was not kept.
"""

from __future__ import annotations

from dataclasses import dataclass

from audit import eras, keys, notes, sshsig
from audit.eras import Era
from audit.models import Checkpoint, Key
from audit.signing import Signer
from registry.errors import Conflict, Gone, Unavailable

_ISSUE_AGAIN = "Issue a new bundle; it is signed by the keys in force now."


@dataclass(frozen=True)
class Keyring:
    """The eras of a bundle, oldest first, and the key that signs it."""

    eras: tuple[Era, ...]
    signer: Signer

    @property
    def last(self) -> Era:
        """The era whose keys sign the checkpoint and the manifest."""
        return self.eras[-1]

    def files(self) -> dict[str, bytes]:
        """The folder `keys/`."""
        now = self.last.keys
        return {
            "keys/allowed_signers": sshsig.allowed_signers_line(now.issuer).encode(),
            "keys/issuer.key": f"{now.issuer.key_line}\n".encode(),
            "keys/issuer.pem": now.issuer.pem.encode(),
            "keys/log.key": f"{now.log.key_line}\n".encode(),
            "keys/log.pem": now.log.pem.encode(),
            **{f"keys/keys-{era.first}.note": era.note for era in self.eras},
        }


def keyring(checkpoint: Checkpoint) -> Keyring:
    """The keys of a bundle that stands on this checkpoint. Gone, Unavailable or Conflict say why there are none."""
    every = _eras()
    inside = tuple(era for era in every if era.first < checkpoint.size)
    later = every[len(inside) :]
    _check_note(inside, checkpoint)
    _refuse_dead(inside[-1], later)
    return Keyring(inside, _signer(inside[-1], checkpoint.size - 1, bool(later)))


def _eras() -> list[Era]:
    try:
        return eras.read()
    except eras.EraError as error:
        raise Conflict(
            f"The keys of this ledger cannot be followed at position {error.position}: {error}.",
            hint="Run `pressmark verify-ledger`; restore lost documents from a backup.",
            code="keys-differ",
        ) from None


def _check_note(inside: tuple[Era, ...], checkpoint: Checkpoint) -> None:
    """What could not verify does not leave the building."""
    try:
        notes.open_checkpoint(checkpoint.note.encode(), inside[-1].keys.log)
    except notes.NoteError as error:
        raise Conflict(
            f"The checkpoint over {checkpoint.size} entries is not signed by the log key of its time: {error}.",
            hint="Run `pressmark verify-ledger`: the table of checkpoints was changed.",
            code="checkpoint-differs",
        ) from None


def _refuse_dead(last: Era, later: list[Era]) -> None:
    if Key.objects.filter(first_position=last.first, revoked_at__isnull=False).exists() or (
        later and later[0].kind == "key.revoked"
    ):
        raise Gone(
            "The keys that signed this bundle were revoked; nothing is signed with them any more.",
            hint=_ISSUE_AGAIN,
            code="key-revoked",
        )
    if any(_instance(era) != _instance(last) for era in later):
        raise Gone(
            "This bundle was issued by the installation that this one is a copy of.",
            hint=f"Ask that installation for it. {_ISSUE_AGAIN}",
            code="key-of-another",
        )


def _instance(era: Era) -> str:
    return era.origin.split("/")[1]


def _signer(last: Era, position: int, is_over: bool) -> Signer:
    try:
        signer = keys.issuer_signer(position)
        found = signer.key_line == last.keys.issuer.key_line
    except Unavailable:
        found = False
    if found:
        return signer
    name = keys.file_name("issuer", last.first)
    if is_over:
        raise Gone(
            f"The key that signed this bundle is not kept here any more ({name}).",
            hint=f"{_ISSUE_AGAIN} To have the same bytes again, restore {name} from its backup.",
            code="key-gone",
        )
    raise Unavailable(
        f"The issuer key of this installation ({name}) is not the one that the ledger names.",
        hint="Restore the issuer key from its backup.",
    )
