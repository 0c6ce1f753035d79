"""`python -m compression_engine.samples WHAT FOLDER`: a real model with its data, made from installed packages alone.

minilm     a sentence encoder as ONNX, with its tokenizer
sentences  English sentences in disjoint files, and text of another kind
mnist      a small convolutional network for digits, with images (training, calibration, evaluation), labels, thickness, and a plan
hmda       a small network for mortgage decisions, with rows (training, calibration, evaluation), applicants' race, and a plan
silero     a recurrent voice detector, with frames of made-up speech in sequences, and a plan
smollm2    a causal language model (itself expanded from 4 bits) as ONNX, with its tokenizer, passages of text, and a plan
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from compression_engine.samples.digits import write_mnist
from compression_engine.samples.gguf_file import GGUFError
from compression_engine.samples.language import export_minilm, write_sentences
from compression_engine.samples.mortgages import write_hmda
from compression_engine.samples.smollm2 import write_smollm2
from compression_engine.samples.speech import write_silero

SAMPLES: dict[str, Callable[[Path], Any]] = {
    "minilm": lambda folder: {"model": str(export_minilm(folder))},
    "sentences": write_sentences,
    "mnist": write_mnist,
    "hmda": write_hmda,
    "silero": write_silero,
    "smollm2": write_smollm2,
}


def main(arguments: list[str] | None = None) -> int:
    """The command line of this package."""
    assert __doc__ is not None
    about, _, listed = __doc__.partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="python -m compression_engine.samples", description=about, epilog=listed,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("what", choices=tuple(SAMPLES))
    parser.add_argument("folder", type=Path)
    options = parser.parse_args(arguments)
    try:
        written = SAMPLES[options.what](options.folder)
    except ModuleNotFoundError as error:
        sys.stderr.write(f"The package {error.name} is not installed; the samples need those of requirements.lock.\n")
        return 1
    except GGUFError as error:
        sys.stderr.write(f"The model cannot be made: {error} Install the pinned package again.\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"{options.folder} cannot be written to: {error.strerror}. Give another folder.\n")
        return 1
    sys.stdout.write(json.dumps(written) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
