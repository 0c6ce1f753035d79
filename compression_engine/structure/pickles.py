"""Recognises pickled Python objects and lists what they would call; nothing is ever unpickled.

Rules:
- a file that opens with a pickle, or a zip that holds one, is refused, whatever it is called;
- the one exception is the sample input inside a `.pt2` archive, which PyTorch always writes: its pickle may name
  nothing but the tensor rebuilders listed here, through the GLOBAL opcode alone.
"""

from __future__ import annotations

import io
import pickletools
import re

from compression_engine.errors import FileRefused

_SCAN_BYTES = 64 * 1024
_OPCODES = {opcode.code: opcode for opcode in pickletools.opcodes}
_ZEROS = 5
_COUNTED = (pickletools.TAKEN_FROM_ARGUMENT1, pickletools.TAKEN_FROM_ARGUMENT4, pickletools.TAKEN_FROM_ARGUMENT4U)
"""Opcodes whose first one or four bytes say how much they read; of zeros that is nothing."""
_TEXT_PICKLE = re.compile(rb"(\(|\]|\}|c[A-Za-z_][\w.]*\n|[ISVFL][^\n]{1,200}\n)")
_ALLOWED_GLOBALS = frozenset(
    {
        "collections OrderedDict",
        "torch._utils _rebuild_tensor",
        "torch._utils _rebuild_tensor_v2",
        "torch._utils _rebuild_parameter",
        "torch Size",
        *(f"torch {kind}Storage" for kind in (
            "Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool", "Untyped",
        )),
    }
)  # fmt: skip
_REFUSED_OPCODES = frozenset({"STACK_GLOBAL", "INST", "OBJ", "EXT1", "EXT2", "EXT4", "NEWOBJ_EX"})


def refused(name: str, what: str) -> FileRefused:
    """The error for a pickle."""
    hint = "A pickle can run any code when it is opened. Save the weights as ONNX or safetensors and upload that."
    return FileRefused("pickle_refused", f"{name} {what}.", hint)


def looks_pickled(head: bytes) -> bool:
    """Whether the first bytes of a file open a pickle, of any protocol."""
    if len(head) >= 2 and head[0] == 0x80 and head[1] <= 5:
        return not _is_header_length(head)
    if not _TEXT_PICKLE.match(head):
        return False
    try:
        return any(opcode.name == "STOP" for opcode, _, _ in pickletools.genops(io.BytesIO(head[:_SCAN_BYTES])))
    except (ValueError, IndexError, UnicodeDecodeError):
        return False


def _is_header_length(head: bytes) -> bool:
    """Whether these are the length of a safetensors header and its first brace, which no reader of pickles gets past.

    Behind the protocol stands one byte, then five of zero. Zero is no opcode, so a pickle would have to read all five as the
    argument of that one byte: up to the end of a line, or as eight bytes. Files that open so stay refused.
    """
    opcode = _OPCODES.get(chr(head[2])) if len(head) > 2 else None
    reads = 0 if opcode is None or opcode.arg is None else opcode.arg.n
    return head[3:9] == b"\0\0\0\0\0{" and (0 <= reads <= _ZEROS - 1 or reads in _COUNTED)


def forbidden_names(data: bytes) -> list[str]:
    """What a pickle would call or import beyond plain tensors; empty if there is nothing."""
    found: list[str] = []
    try:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name in _REFUSED_OPCODES:
                found.append(opcode.name)
            elif opcode.name == "GLOBAL" and argument not in _ALLOWED_GLOBALS:
                found.append(str(argument))
    except (ValueError, IndexError, UnicodeDecodeError) as error:
        found.append(f"unreadable opcodes ({error})")
    return found
