"""Sound: the recurrent voice detector of the wheel silero-vad (MIT), and made-up speech whose voiced stretches are known.

Nothing is recorded: a voice is a train of harmonics of a gliding pitch under moving formants, in syllables, between rests of noise.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from compression_engine.samples.training import write_plan

RATE = 16_000
FRAME, CONTEXT = 512, 64
_SEED = 4
_SECONDS = 12
_SEQUENCES = {"calibration": 4, "evaluation": 16}
_NOISE = {"quiet": 0.001, "noisy": 0.02}
NOISES = tuple(_NOISE)


def write_silero(folder: Path) -> dict[str, Any]:
    """Writes model.onnx, {calibration,evaluation}.npz and plan.json; returns what is where.

    Inputs: input, float32 [rows, 576] (64 samples of the frame before, and 512 new ones at 16 kHz), and the carried state. Output:
    the probability of a voice, float32 [rows, 1]. Columns: sequence, label (0 or 1), and how noisy the sequence is.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_detector(folder / "model.onnx")
    chance, counts = np.random.default_rng(_SEED), {}
    for name, sequences in _SEQUENCES.items():
        found = [recording(chance, NOISES[number % 2]) for number in range(sequences)]
        frames = len(found[0]["label"])
        numbers = np.repeat(np.arange(sequences, dtype=np.int64), frames)
        columns = {key: np.concatenate([one[key] for one in found]) for key in found[0]}
        np.savez(folder / f"{name}.npz", allow_pickle=False, sequence=numbers, **columns)
        counts[name] = len(numbers)
    plan = {
        "task": "classification", "label": "label", "scores": "probabilities", "modality": "audio",
        "classes": ["rest", "voice"], "slices": ["noise"], "sequence": "sequence",
        "output": "output", "states": [{"input": "state", "output": "stateN"}],
    }  # fmt: skip
    write_plan(folder / "plan.json", plan)
    return {"model": str(folder / "model.onnx"), "rows": counts}


def write_detector(path: Path, source: str = "silero_vad_16k_op15.onnx") -> None:
    """A detector's file of the wheel with its sampling rate fixed: it is an input without rows, which no row of data can give."""
    import onnx
    import silero_vad

    model = onnx.load(str(Path(silero_vad.__file__).parent / "data" / source))
    rate = next(entry for entry in model.graph.input if entry.name == "sr")
    model.graph.input.remove(rate)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(RATE, dtype=np.int64), "sr"))
    onnx.save(model, str(path))


def recording(chance: np.random.Generator, noise: str) -> dict[str, Any]:
    """One recording of 12 seconds with a noise of NOISES, cut into frames with the context that the detector wants.

    `input`, float32 [frames, 576]; `label`, int64 [frames], 1 where a voice is heard; `noise`, text [frames].
    """
    sound, voiced = _speech(chance)
    sound = (sound + chance.normal(0, _NOISE[noise], len(sound))).astype(np.float32)
    padded = np.concatenate([np.zeros(CONTEXT, dtype=np.float32), sound])
    starts = range(0, len(sound) - FRAME + 1, FRAME)
    frames = np.stack([padded[start : start + CONTEXT + FRAME] for start in starts])
    share = np.array([voiced[start : start + FRAME].mean() for start in starts])
    return {"input": frames, "label": (share > 0.5).astype(np.int64), "noise": np.full(len(frames), noise, dtype="<U5")}


def _speech(chance: np.random.Generator) -> tuple[Any, Any]:
    """Samples, and where a voice is heard (0 or 1), of utterances between rests."""
    length = _SECONDS * RATE
    sound, voiced = np.zeros(length), np.zeros(length)
    start = int(chance.uniform(0.3, 1.0) * RATE)
    while start < length - RATE:
        stop = min(length, start + int(chance.uniform(0.8, 2.0) * RATE))
        sound[start:stop] = _utterance(chance, stop - start)
        voiced[start:stop] = 1
        start = stop + int(chance.uniform(0.6, 1.6) * RATE)
    return sound, voiced


def _utterance(chance: np.random.Generator, length: int) -> Any:
    time = np.arange(length) / RATE
    pitch_hz = chance.uniform(90, 220) * (1 + 0.12 * np.sin(2 * np.pi * chance.uniform(0.5, 1.5) * time))
    phase = 2 * np.pi * np.cumsum(pitch_hz) / RATE
    knots = np.linspace(0, length - 1, max(3, length // 3200))
    formants = [
        np.interp(np.arange(length), knots, chance.uniform(low, high, len(knots)))
        for low, high in ((300, 800), (900, 2200), (2300, 3200))
    ]
    voice = np.zeros(length)
    for harmonic in range(1, 36):
        frequency = harmonic * pitch_hz
        loudness = sum(
            np.exp(-(((frequency - formant) / width) ** 2))
            for formant, width in zip(formants, (120, 180, 260), strict=True)
        )
        voice += loudness / harmonic**0.3 * np.sin(harmonic * phase)
    syllables = 0.35 + 0.65 * np.clip(np.sin(2 * np.pi * chance.uniform(3, 5) * time), 0, 1)
    edge = np.minimum(1, np.minimum(time, time[::-1]) / 0.03)
    return 0.25 * voice * syllables * edge / max(1e-9, np.abs(voice).max())
