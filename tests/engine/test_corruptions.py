"""Corruptions: graded, repeatable, in the shape and type of the rows, and true to what they say they do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from compression_engine.measure.corruptions import audio, image, tabular, text

SEVERITIES = range(1, 6)
SENTENCE = "The quick brown foxes jumped over twenty lazy sleeping dogs while somebody watched quietly from afar."


def draw(seed: int = 7) -> np.random.Generator:
    return np.random.default_rng(seed)


def pictures(shape: tuple[int, ...] = (1, 28, 28), rows: int = 6, seed: int = 0) -> np.ndarray[Any, Any]:
    """Smooth pictures with light and shade."""
    generator = np.random.default_rng(seed)
    rows_of = generator.random((rows, *shape))
    for axis in range(1, len(shape) + 1):
        if rows_of.shape[axis] > 4:
            rows_of = (rows_of + np.roll(rows_of, 1, axis) + np.roll(rows_of, 2, axis)) / 3
    return rows_of.astype(np.float32)


def distances(damage: Any, rows: np.ndarray[Any, Any]) -> list[float]:
    return [
        float(np.mean([np.abs(damage(row, severity, index) - row).mean() for index, row in enumerate(rows)]))
        for severity in SEVERITIES
    ]


@pytest.mark.parametrize("name", list(image.CORRUPTIONS))
def test_an_image_is_damaged_more_with_each_severity(name: str) -> None:
    rows = pictures((3, 32, 32))
    found = image.Range.of(rows)
    grown = distances(lambda row, severity, index: found.corrupt(row, name, severity, draw(index)), rows)
    assert grown[0] > 0
    assert grown == sorted(grown)
    assert grown[4] > 1.5 * grown[0]


@pytest.mark.parametrize(
    ("shape", "planes"),
    [((1, 28, 28), 1), ((3, 16, 20), 3), ((16, 20, 3), 3), ((28, 28), 1), ((784,), 1), ((3072,), 3)],
)
def test_an_image_keeps_its_shape_type_and_range_however_it_lies_in_a_row(shape: tuple[int, ...], planes: int) -> None:
    rows = pictures(shape)
    found = image.Range.of(rows)
    assert found.planes[0] == planes
    for name in image.CORRUPTIONS:
        damaged = found.corrupt(rows[0], name, 5, draw())
        assert (damaged.shape, damaged.dtype) == (rows[0].shape, rows.dtype)
        assert damaged.min() >= rows.min() - 1e-6
        assert damaged.max() <= rows.max() + 1e-6
    bytes_of = (255 * rows).astype(np.uint8)
    assert image.Range.of(bytes_of).corrupt(bytes_of[0], "blur", 3, draw()).dtype == np.uint8


def test_a_range_shifted_and_scaled_is_damaged_alike() -> None:
    rows = pictures()
    moved = (rows - 0.4) / 0.3  # as training code normalises
    for name in image.CORRUPTIONS:
        a = image.Range.of(rows).corrupt(rows[1], name, 3, draw())
        b = image.Range.of(moved).corrupt(moved[1], name, 3, draw())
        assert np.abs((a - 0.4) / 0.3 - b).max() < 1e-4, name


def test_what_is_no_image_has_no_range() -> None:
    assert image.Range.of(np.zeros((4, 30))) is None
    assert image.Range.of(np.zeros((4, 2, 3, 4, 5))) is None


def test_blocks_rounded_as_jpeg_does_keep_an_even_surface_and_lose_fine_detail() -> None:
    even, checks = np.full((1, 16, 16), 0.5), np.indices((16, 16)).sum(axis=0)[None] % 2 * 0.06 + 0.47
    rows = np.stack([even, checks, np.zeros_like(even), np.ones_like(even)])
    found = image.Range.of(rows)
    assert np.abs(found.corrupt(even, "jpeg", 5, draw()) - even).max() < 0.05
    assert found.corrupt(checks, "jpeg", 5, draw()).std() < checks.std() / 2


def test_sound_in_noise_has_the_distance_that_its_severity_says() -> None:
    sound = np.sin(np.arange(16000) / 9).astype(np.float32)
    level = audio.Level.of(sound)
    for severity, decibels in zip(SEVERITIES, (30, 20, 15, 10, 5), strict=True):
        noise = level.corrupt(sound, "white_noise", severity, draw()) - sound
        found = 10 * np.log10(np.square(sound).mean() / np.square(noise).mean())
        assert found == pytest.approx(decibels, abs=0.2)


def test_a_narrow_band_keeps_low_tones_and_drops_high_ones() -> None:
    time = np.arange(4000) / 4000
    low, high = np.sin(2 * np.pi * 50 * time), np.sin(2 * np.pi * 1900 * time)
    level = audio.Level.of(low + high)
    kept = level.corrupt(low + high, "narrow_band", 1, draw())
    assert np.abs(kept - low).max() < 0.01


def test_clipping_follows_the_peak_of_the_recording_and_silence_stays_quiet_in_noise() -> None:
    loud, quiet = np.sin(np.arange(512) / 5), 0.01 * np.sin(np.arange(512) / 5)
    level = audio.Level.of(np.stack([loud, quiet]))
    assert np.array_equal(level.corrupt(quiet, "clipping", 5, draw()), quiet)
    assert np.abs(level.corrupt(loud, "clipping", 5, draw())).max() == pytest.approx(0.08 * np.abs(loud).max())
    own = audio.Level.of(np.zeros(512))
    assert not own.corrupt(np.zeros(512), "white_noise", 5, draw()).any()


@pytest.mark.parametrize("name", list(audio.CORRUPTIONS))
def test_sound_is_damaged_more_with_each_severity_and_keeps_its_type(name: str) -> None:
    generator = np.random.default_rng(1)
    rows = np.cumsum(generator.normal(size=(4, 2000)), axis=1).astype(np.float32)
    grown = distances(lambda row, severity, index: audio.Level.of(row).corrupt(row, name, severity, draw(index)), rows)
    assert grown == sorted(grown)
    assert grown[0] > 0
    whole = (1000 * rows[0]).astype(np.int16)
    assert audio.Level.of(whole).corrupt(whole, name, 3, draw()).dtype == np.int16


def records(rows: int = 400) -> np.ndarray[Any, Any]:
    """Income in thousands, a ratio, a code of five values, a yes or no."""
    generator = np.random.default_rng(4)
    columns = [
        generator.lognormal(4, 0.5, rows),
        generator.normal(0.4, 0.1, rows),
        generator.integers(0, 5, rows),
        generator.random(rows) < 0.3,
    ]
    return np.stack(columns, axis=1).astype(np.float32)


def test_columns_of_few_whole_numbers_are_categories_and_never_leave_them() -> None:
    rows = records()
    found = tabular.Columns.of(rows)
    assert found.categories.tolist() == [False, False, True, True]
    for name in found.names:
        damaged = np.stack([found.corrupt(row, name, 5, draw(i)) for i, row in enumerate(rows)])
        assert set(np.unique(damaged[:, 2])) <= {0, 1, 2, 3, 4}, name
        assert set(np.unique(damaged[:, 3])) <= {0, 1}, name
        if name in ("jitter", "outliers", "wrong_unit"):
            assert np.array_equal(damaged[:, 2:], rows[:, 2:]), name


@pytest.mark.parametrize("name", list(tabular.CORRUPTIONS))
def test_records_are_damaged_more_with_each_severity(name: str) -> None:
    rows = records()
    found = tabular.Columns.of(rows)
    grown = distances(lambda row, severity, index: found.corrupt(row, name, severity, draw(index)), rows)
    assert grown == sorted(grown)
    assert grown[0] > 0


def test_missing_values_become_the_median_or_the_commonest_category_at_the_rate_of_their_severity() -> None:
    rows = records(2000)
    found = tabular.Columns.of(rows)
    damaged = np.stack([found.corrupt(row, "missing_values", 5, draw(i)) for i, row in enumerate(rows)])
    lost = damaged[:, 0] != rows[:, 0]
    assert lost.mean() == pytest.approx(0.5, abs=0.04)
    assert np.allclose(damaged[lost, 0], np.median(rows[:, 0]))
    commonest = np.bincount(rows[:, 2].astype(int)).argmax()
    assert set(damaged[damaged[:, 2] != rows[:, 2], 2]) == {commonest}


def test_outliers_lie_six_spreads_out_and_wrong_units_a_factor_of_a_thousand() -> None:
    rows = records(2000)
    found = tabular.Columns.of(rows)
    wild = np.stack([found.corrupt(row, "outliers", 4, draw(i)) for i, row in enumerate(rows)])
    hit = wild[:, 1] != rows[:, 1]
    assert np.allclose(np.abs(wild[hit, 1] - found.middle[1]), 6 * found.spread[1], rtol=1e-4)
    scaled = np.stack([found.corrupt(row, "wrong_unit", 4, draw(i)) for i, row in enumerate(rows)])
    factors = scaled[:, 0] / rows[:, 0]
    assert sorted({float(f"{factor:.3g}") for factor in factors}) == [0.001, 1.0, 1000.0]


def test_records_of_only_categories_or_only_numbers_suffer_what_they_can() -> None:
    rows = records()
    assert tabular.Columns.of(rows[:, 2:]).names == ["missing_values", "wrong_category"]
    assert tabular.Columns.of(rows[:, :2]).names == ["missing_values", "jitter", "outliers", "wrong_unit"]


@pytest.mark.parametrize("name", list(text.CORRUPTIONS))
def test_a_text_is_damaged_more_with_each_severity_and_never_empty(name: str) -> None:
    from rapidfuzz.distance import Levenshtein

    long = " ".join([SENTENCE] * 10)
    moved = [Levenshtein.distance(long, text.corrupt(long, name, severity, draw())) for severity in SEVERITIES]
    assert moved[0] > 0
    assert moved == sorted(moved)
    for short in ("a", "wörter", "no", "!?"):
        assert text.corrupt(short, name, 5, draw())


def test_texts_suffer_what_the_corruption_is_called() -> None:
    assert text.corrupt(SENTENCE, "upper_case", 5, draw()) == SENTENCE.upper()
    repeated = text.corrupt(SENTENCE, "repeated_words", 5, draw()).split()
    assert len(repeated) > len(SENTENCE.split())
    assert [word for place, word in enumerate(repeated) if place == 0 or word != repeated[place - 1]][:3] == [
        "The",
        "quick",
        "brown",
    ]
    dropped = text.corrupt(SENTENCE, "dropped_letters", 5, draw())
    assert len(dropped) < len(SENTENCE)
    assert [word[0] for word in dropped.split()] == [word[0] for word in SENTENCE.split()]
    spaced = text.corrupt(SENTENCE, "broken_spaces", 5, draw())
    assert spaced.replace(" ", "") == SENTENCE.replace(" ", "")
    assert spaced.split() != SENTENCE.split()
    slipped = text.corrupt(SENTENCE, "typos", 5, draw())
    assert len(slipped) == len(SENTENCE)
    assert slipped.split()[0] == "The"


def test_the_same_draw_gives_the_same_damage() -> None:
    rows = records()
    found = tabular.Columns.of(rows)
    assert np.array_equal(found.corrupt(rows[0], "jitter", 3, draw()), found.corrupt(rows[0], "jitter", 3, draw()))
    assert text.corrupt(SENTENCE, "typos", 3, draw()) == text.corrupt(SENTENCE, "typos", 3, draw())
    picture = pictures()
    ranged = image.Range.of(picture)
    for name in image.CORRUPTIONS:
        assert np.array_equal(ranged.corrupt(picture[0], name, 2, draw()), ranged.corrupt(picture[0], name, 2, draw()))


def test_a_value_that_is_missing_spoils_no_other() -> None:
    rows = records()
    rows[0, 0] = rows[1, 2] = np.nan
    found = tabular.Columns.of(rows)
    whole = tabular.Columns.of(records())
    assert found.names == whole.names
    for name in found.names:
        damaged = found.corrupt(rows[5], name, 5, draw())
        assert np.isfinite(damaged).all(), name
    assert np.isnan(found.corrupt(rows[0], "jitter", 5, draw())[0])
    empty = tabular.Columns.of(np.full((4, 2), np.nan, np.float32))
    assert np.isnan(empty.corrupt(np.full(2, np.nan, np.float32), "missing_values", 5, draw())).all()
    picture = pictures()
    picture[0, 0, 3, 4] = np.nan
    ranged = image.Range.of(picture)
    for name in image.CORRUPTIONS:
        damaged = ranged.corrupt(picture[0], name, 3, draw())
        assert np.isnan(damaged).sum() == 1, name
    sound = np.sin(np.arange(400)).astype(np.float32)
    sound[7] = np.nan
    level = audio.Level.of(sound)
    for name in audio.CORRUPTIONS:
        assert np.isnan(level.corrupt(sound, name, 3, draw())).sum() == 1, name


def test_no_damage_leaves_the_range_of_the_type() -> None:
    rows = np.linspace(1, 60_000, 80).reshape(40, 2).astype(np.float16)
    found = tabular.Columns.of(rows)
    for index, row in enumerate(rows):
        assert np.isfinite(found.corrupt(row, "wrong_unit", 5, draw(index))).all()


def test_the_range_of_images_is_taken_in_their_own_type() -> None:
    rows = (255 * pictures((8, 9, 3))).astype(np.uint8)
    found = image.Range.of(rows)
    assert np.array_equal(found.low[:, 0, 0], rows.min(axis=(0, 1, 2)))
    assert np.array_equal(found.high[:, 0, 0], rows.max(axis=(0, 1, 2)))
