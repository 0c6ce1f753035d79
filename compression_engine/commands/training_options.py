"""The options of a shell with which steps that train are handed their rows, models, device and folder; see `training_files`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from compression_engine.steps.training_files import TrainingFiles


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What decides the bytes of the child; no library of the engine is needed to parse it."""
    parser.add_argument("--training", type=Path, metavar="FILE", help="rows for steps that train (.npz, .jsonl ...)")
    parser.add_argument(
        "--teacher", type=Path, metavar="MODEL", help="a model whose answers are learned (the parent's)"
    )
    parser.add_argument(
        "--student", type=Path, metavar="MODEL", help="what the child begins as, where a step asks for it"
    )
    parser.add_argument("--device", metavar="DEVICE", help="where steps train: cpu, cuda:0 ... (cpu)")


def add_resume(parser: argparse.ArgumentParser) -> None:
    """Where finished steps and resume points are kept; it decides nothing."""
    parser.add_argument(
        "--resume", type=Path, metavar="FOLDER", help="keep finished steps here, and go on from them after a kill"
    )


def files_of(options: argparse.Namespace) -> TrainingFiles:
    """What was named."""
    from compression_engine.steps.training_files import TrainingFiles

    return TrainingFiles(
        rows=options.training,
        teacher=options.teacher,
        student=options.student,
        device=options.device,
        resume=getattr(options, "resume", None),
    )
