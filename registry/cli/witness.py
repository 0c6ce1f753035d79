"""`pressmark witness init | serve | status`: cosign the checkpoints of a ledger from another host. No Django, no database."""

from __future__ import annotations

import argparse
import datetime
import signal
import threading
from pathlib import Path

from audit import notes
from audit.signing import ISSUER_SUFFIX, KeyFileError, KeyLineError, PublicKey, Signer, parse_key_line
from audit.witnessing.cosignatures import CosignerKey, cosigner_of, open_cosignature
from audit.witnessing.witness import EVIDENCE, KEY_FILE, LOGS, State, StateError, Witness
from audit.witnessing.witness_server import WitnessServer
from registry.errors import Conflict, Invalid

_NAME_LIMIT = 200
_ABOUT = """\
Remembers the newest checkpoint of each ledger that it knows, and cosigns only what continues it: whoever has this witness's key
line need not trust the ledger's operators not to keep a second history. Run it on a host that they cannot change.

  pressmark witness init --name witness.example.org --state /var/lib/witness
  pressmark witness serve --state /var/lib/witness --listen 0.0.0.0:8100 --log 'KEYLINE'
  pressmark witness status --state /var/lib/witness
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = _ABOUT
    acts = parser.add_subparsers(dest="act", metavar="init | serve | status", required=True)
    init = acts.add_parser("init", help="make the witness's key and print its key line")
    init.add_argument("--name", required=True, help="names this witness for ever, such as witness.example.org")
    init.set_defaults(act=_init)
    serve = acts.add_parser("serve", help="answer over HTTP until SIGTERM or Ctrl-C")
    serve.add_argument("--listen", default="127.0.0.1:8100", metavar="HOST:PORT", help="default 127.0.0.1:8100")
    serve.add_argument(
        "--log", action="append", required=True, metavar="KEYLINE_OR_FILE",
        help="a log key line of a ledger, or a file of them, one a line; repeatable. After a rotation of the ledger's keys "
        "give the old and the new line, after a revocation the new one alone, after a reopening that of the new origin too",
    )  # fmt: skip
    serve.set_defaults(act=_serve)
    status = acts.add_parser("status", help="say what was cosigned last of each ledger")
    status.set_defaults(act=_status)
    for act in (init, serve, status):
        act.add_argument(
            "--state", required=True, type=Path, metavar="FOLDER", help="where key and memory of the witness are"
        )


def run(options: argparse.Namespace) -> int:
    """What was asked for; a refusal says what to do."""
    try:
        status: int = options.act(options)
    except KeyFileError as error:
        raise Conflict(f"{error}.", hint="A witness is set up once with `pressmark witness init`.") from None
    except StateError as error:
        raise Conflict(f"{error}.") from None
    return status


def _init(options: argparse.Namespace) -> int:
    if len(options.name) > _NAME_LIMIT or not options.name.isascii():
        raise Invalid(
            "That is no name of a witness.", hint=f"At most {_NAME_LIMIT} ASCII characters, such as a host name."
        )
    try:
        signer = Signer.generate(options.name)
    except KeyLineError as error:
        raise Invalid(f"{error}.", hint="Take the host name of the witness, such as witness.example.org.") from None
    options.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    signer.save(options.state / KEY_FILE)
    print(cosigner_of(signer).key_line)
    print(
        f"\nThe key is {options.state / KEY_FILE}. Give the line above to the operator of the ledger, who writes it with the"
    )
    print("address of this witness into PRESSMARK_HOME/witnesses, and to everybody who checks bundles (--witness).")
    return 0


def _serve(options: argparse.Namespace) -> int:
    host, port = _address(options.listen)
    witness = Witness(options.state, [key for text in options.log for key in _log_keys(text)])
    witness.check_state()
    try:
        server = WitnessServer(host, port, witness)
    except (OSError, OverflowError) as error:
        raise Conflict(
            f"{options.listen} cannot be used: {getattr(error, 'strerror', None) or error}.",
            hint="Stop what uses it, or give another --listen HOST:PORT.",
        ) from None
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, frame: threading.Thread(target=server.shutdown).start())
    print(f"{witness.key.key_line}\nlistens on {_shown(server)} and knows:", flush=True)
    for origin, keys in witness.logs.items():
        print(f"  {origin} ({len(keys)} key{'s' if len(keys) > 1 else ''})", flush=True)
    with server:
        server.serve_forever(poll_interval=0.2)
    return 0


def _status(options: argparse.Namespace) -> int:
    key = cosigner_of(Signer.load(options.state / KEY_FILE))
    print(key.key_line)
    state = State(options.state / LOGS, key)
    origins = state.origins()
    if not origins:
        print("  nothing is cosigned yet")
    for origin in origins:
        with state.locked(origin) as place:
            seen = place.read()
        print(f"  {origin}  {seen.size} entries, cosigned {_cosigned(seen.note, key)}")
    for kind, what in (("fork", "a second history, signed by the ledger's key"), ("unproven", "not shown to continue")):
        found = sorted((options.state / EVIDENCE).glob(f"{kind}-*"))
        if found:
            print(f"  {len(found)} refused ({what}): {found[0]}{' ...' if len(found) > 1 else ''}")
    return 0


def _cosigned(note: bytes, key: CosignerKey) -> str:
    seconds = open_cosignature(notes.parse_note(note), key)
    return f"{datetime.datetime.fromtimestamp(seconds, datetime.UTC):%Y-%m-%d %H:%M:%S} UTC"


def _log_keys(text: str) -> list[PublicKey]:
    """The keys of one --log: a key line, or the lines of a file."""
    try:
        lines = [line.strip() for line in Path(text).read_text().splitlines()]
    except (OSError, ValueError):  # no file, or none of text: then it must be a key line, and is refused as one
        lines = [text]
    found = [_log_key(line) for line in lines if line and not line.startswith("#")]
    if not found:
        raise Invalid(f"{text} holds no key line.", hint=_LINE_HINT)
    return found


_LINE_HINT = (
    "Give --log 'pressmark/<instance>/<epoch>+<8 hex digits>+<base64>', as `pressmark init` of the ledger printed it."
)


def _log_key(line: str) -> PublicKey:
    try:
        key = parse_key_line(line)
    except KeyLineError as error:
        raise Invalid(f"{line[:200]!r}: {error}.", hint=_LINE_HINT) from None
    if key.name.endswith(ISSUER_SUFFIX):
        raise Invalid(
            f"{line!r} is the issuer key.",
            hint="A witness knows a ledger by its log key, whose name is the origin alone.",
        )
    return key


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise Invalid(
            f"{text!r} is no address to listen on.", hint="Give --listen HOST:PORT, such as 0.0.0.0:8100 or [::]:8100."
        )
    return host.removeprefix("[").removesuffix("]"), int(port)


def _shown(server: WitnessServer) -> str:
    host = f"[{server.server_name}]" if ":" in server.server_name else server.server_name
    return f"http://{host}:{server.server_port}"
