"""Damages an image as cameras, light, transport and storage do, in five degrees.

Which damages and how they are graded: Hendrycks and Dietterich, "Benchmarking neural network robustness to common corruptions
and perturbations", 2019; the code is our own. Strengths are relative to the range of values that the rows have (black to white)
and to the shorter side, so that they mean the same for small and large images. `jpeg` rounds the coefficients of 8 by 8 blocks
with the luminance table of ITU-T T.81, annex K. A value that is no number stays as it is, and counts as black for those beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from compression_engine.answers.outputs import Array
from compression_engine.measure.statistics.intervals import Floats

_CHANNELS = (1, 3, 4)
_BLOCK = 8
_LUMINANCE = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ],
    dtype=np.float64,
)


@dataclass(frozen=True)
class Range:
    """How an image lies in a row: its planes [channels, height, width], where the channels stand, black and white of each."""

    planes: tuple[int, int, int]
    channels_last: bool
    low: Floats
    high: Floats

    @classmethod
    def of(cls, rows: Array) -> Range | None:
        """Looked at in rows [rows, ...]; None where a row is no image of one, three or four channels."""
        found = _layout(rows.shape[1:])
        if found is None:
            return None
        planes, channels_last = found
        values = rows.reshape(len(rows), *_stored(planes, channels_last))
        axes = (0, 1, 2) if channels_last else (0, 2, 3)
        # without a copy of all images in wider numbers; fmin and fmax pass over what is no number
        ends = [reduce(values, axis=axes).astype(np.float64) for reduce in (np.fmin.reduce, np.fmax.reduce)]
        low, high = (np.nan_to_num(end)[:, None, None] for end in ends)
        return cls(planes, channels_last, low, high)

    def corrupt(self, row: Array, name: str, severity: int, generator: np.random.Generator) -> Array:
        """One row after a corruption of severity 1 to 5, in the shape and type that it had."""
        values = row.reshape(_stored(self.planes, self.channels_last)).astype(np.float64)
        planes = np.moveaxis(values, -1, 0) if self.channels_last else values
        width = np.maximum(self.high - self.low, np.finfo(np.float64).tiny)
        known = np.isfinite(planes)
        clean = np.where(known, (planes - self.low) / width, 0.0)
        damaged = np.clip(CORRUPTIONS[name](clean, severity - 1, generator), 0, 1) * width + self.low
        damaged = np.where(known, damaged, planes)
        if self.channels_last:
            damaged = np.moveaxis(damaged, 0, -1)
        if np.issubdtype(row.dtype, np.integer):
            damaged = np.rint(damaged)
        return np.asarray(damaged.reshape(row.shape).astype(row.dtype))


def _layout(shape: tuple[int, ...]) -> tuple[tuple[int, int, int], bool] | None:
    if len(shape) == 3 and shape[0] in _CHANNELS:
        return (shape[0], shape[1], shape[2]), False
    if len(shape) == 3 and shape[2] in _CHANNELS:
        return (shape[2], shape[0], shape[1]), True
    if len(shape) == 2:
        return (1, shape[0], shape[1]), False
    if len(shape) == 1:
        for channels in _CHANNELS:  # a square image laid out in one line
            side = round((shape[0] / channels) ** 0.5)
            if side > 1 and side * side * channels == shape[0]:
                return (channels, side, side), False
    return None


def _stored(planes: tuple[int, int, int], channels_last: bool) -> tuple[int, int, int]:
    channels, height, width = planes
    return (height, width, channels) if channels_last else planes


def _gaussian_noise(planes: Floats, grade: int, generator: np.random.Generator) -> Floats:
    return planes + (0.04, 0.08, 0.12, 0.18, 0.26)[grade] * generator.normal(size=planes.shape)


def _shot_noise(planes: Floats, grade: int, generator: np.random.Generator) -> Floats:
    photons = (100.0, 50.0, 25.0, 12.0, 5.0)[grade]
    found: Floats = generator.poisson(planes * photons) / photons
    return found


def _blur(planes: Floats, grade: int, generator: np.random.Generator) -> Floats:
    from scipy.ndimage import gaussian_filter

    width = (0.015, 0.025, 0.035, 0.045, 0.06)[grade] * min(planes.shape[1:])
    found: Floats = gaussian_filter(planes, sigma=(0, width, width), mode="nearest")
    return found


def _contrast(planes: Floats, grade: int, generator: np.random.Generator) -> Floats:
    mean = planes.mean(axis=(1, 2), keepdims=True)
    found: Floats = (planes - mean) * (0.7, 0.5, 0.35, 0.2, 0.1)[grade] + mean
    return found


def _brightness(planes: Floats, grade: int, generator: np.random.Generator) -> Floats:
    return planes + (0.1, 0.2, 0.3, 0.4, 0.5)[grade]


def _pixelate(planes: Floats, grade: int, generator: np.random.Generator) -> Floats:
    kept = (0.8, 0.65, 0.5, 0.4, 0.3)[grade]
    places = []
    for side in planes.shape[1:]:
        count = max(1, round(side * kept))
        # each place takes the value of the middle of the coarse pixel that it falls into
        coarse = np.arange(side) * count // side
        places.append(np.minimum(((coarse + 0.5) * side / count).astype(np.intp), side - 1))
    return planes[:, places[0]][:, :, places[1]]


def _jpeg(planes: Floats, grade: int, generator: np.random.Generator) -> Floats:
    quality = (60, 40, 25, 15, 8)[grade]
    scale = 5000 / quality if quality < 50 else 200 - 2 * quality
    table = np.clip(np.floor((_LUMINANCE * scale + 50) / 100), 1, 255)
    channels, height, width = planes.shape
    more = ((0, 0), (0, -height % _BLOCK), (0, -width % _BLOCK))
    padded = np.pad(planes * 255 - 128, more, mode="edge")
    down, across = padded.shape[1] // _BLOCK, padded.shape[2] // _BLOCK
    blocks = padded.reshape(channels, down, _BLOCK, across, _BLOCK).swapaxes(2, 3)
    turned = _cosines()
    rounded = np.rint(turned @ blocks @ turned.T / table) * table
    found = (turned.T @ rounded @ turned).swapaxes(2, 3).reshape(padded.shape)
    return np.asarray((found[:, :height, :width] + 128) / 255)


def _cosines() -> Floats:
    """The orthonormal cosine transform of 8 values."""
    order = np.arange(_BLOCK)
    found: Floats = np.cos(np.pi * order[:, None] * (2 * order[None, :] + 1) / (2 * _BLOCK)) * np.sqrt(2 / _BLOCK)
    found[0] /= np.sqrt(2)
    return found


CORRUPTIONS: dict[str, Callable[[Floats, int, np.random.Generator], Floats]] = {
    "gaussian_noise": _gaussian_noise,
    "shot_noise": _shot_noise,
    "blur": _blur,
    "contrast": _contrast,
    "brightness": _brightness,
    "pixelate": _pixelate,
    "jpeg": _jpeg,
}
