"""Damages a stretch of sound as rooms, microphones and lines do, in five degrees.

White noise is given by its distance to the signal in decibels, as speech is tested in noise (Hirsch and Pearce, "The Aurora
experimental framework", 2000); clipping, low level and a narrow band are the commonest faults of recordings and telephone lines.
Level and peak are those of the whole recording, where rows are its frames: silence between words stays quiet. A sample that is no
number stays as it is, and counts as silence for those beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from compression_engine.answers.outputs import Array
from compression_engine.measure.corruptions.tabular import held
from compression_engine.measure.statistics.intervals import Floats


@dataclass(frozen=True)
class Level:
    """Root mean square and peak of the recording that a row belongs to."""

    effective: float
    peak: float

    @classmethod
    def of(cls, samples: Array) -> Level:
        """Looked at in all samples of one recording, of any shape."""
        values = samples.astype(np.float64)
        values = values[np.isfinite(values)]
        if not len(values):
            return cls(0.0, 0.0)
        return cls(float(np.sqrt(np.square(values).mean())), float(np.abs(values).max(initial=0.0)))

    def corrupt(self, row: Array, name: str, severity: int, generator: np.random.Generator) -> Array:
        """One row (samples along its last axis) after a corruption of severity 1 to 5, in the type that it had."""
        samples = row.astype(np.float64)
        known = np.isfinite(samples)
        damaged = CORRUPTIONS[name](np.where(known, samples, 0.0), self, severity - 1, generator)
        return held(np.where(known, damaged, samples), row.dtype)


def _white_noise(samples: Floats, level: Level, grade: int, generator: np.random.Generator) -> Floats:
    decibels = (30.0, 20.0, 15.0, 10.0, 5.0)[grade]
    found: Floats = samples + level.effective * 10 ** (-decibels / 20) * generator.normal(size=samples.shape)
    return found


def _clipping(samples: Floats, level: Level, grade: int, generator: np.random.Generator) -> Floats:
    limit = (0.6, 0.4, 0.25, 0.15, 0.08)[grade] * level.peak
    return np.clip(samples, -limit, limit)


def _low_level(samples: Floats, level: Level, grade: int, generator: np.random.Generator) -> Floats:
    found: Floats = samples * 10 ** (-(6.0, 12.0, 18.0, 24.0, 30.0)[grade] / 20)
    return found


def _narrow_band(samples: Floats, level: Level, grade: int, generator: np.random.Generator) -> Floats:
    spectrum = np.fft.rfft(samples, axis=-1)
    kept = (0.75, 0.5, 0.375, 0.25, 0.125)[grade]
    spectrum[..., max(1, round(spectrum.shape[-1] * kept)) :] = 0
    return np.fft.irfft(spectrum, n=samples.shape[-1], axis=-1)


CORRUPTIONS: dict[str, Callable[[Floats, Level, int, np.random.Generator], Floats]] = {
    "white_noise": _white_noise,
    "clipping": _clipping,
    "low_level": _low_level,
    "narrow_band": _narrow_band,
}
