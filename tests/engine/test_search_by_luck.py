"""Budget mode is not talked into a promise: what is said over and over counts once, whatever the rows are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from compression_engine import Plan
from compression_engine.errors import DataError
from compression_engine.searching.rows import Files
from tests.engine.searched import WIDTH, chain, folder, found


def repeated(at: Path, name: str, seed: int, different: int, times: int, **columns: object) -> Path:
    values = np.random.default_rng(seed).normal(size=(different, WIDTH)).astype(np.float32)
    np.savez(at / name, allow_pickle=False, **({"x": np.repeat(values, times, axis=0)} | columns))  # type: ignore[arg-type]
    return at / name


@pytest.mark.parametrize("measure", ["cosine_mean", "top1_agreement"])
def test_a_few_rows_said_over_and_over_show_no_promise(tmp_path: Path, measure: str) -> None:
    at = folder(tmp_path)
    files = Files(repeated(at, "evaluation.npz", 5, different=6, times=200))
    with pytest.raises(DataError, match=r"3 rows that differ for the choice cannot show") as refused:
        found(at, chain(poisoned=False), "0.9", measure, files=files)
    assert refused.value.code == "rows_too_few"
    assert not (at / "out").exists()


def test_a_mean_of_few_numbers_shows_no_promise_however_good_they_are(tmp_path: Path) -> None:
    at = folder(tmp_path)
    files = Files(repeated(at, "evaluation.npz", 5, different=58, times=1))
    with pytest.raises(DataError, match=r"29 rows .* cannot show .*; 30 would be enough"):
        found(at, chain(poisoned=False), "0.9", files=files)


def test_held_back_rows_that_repeat_a_few_show_no_promise(tmp_path: Path) -> None:
    at = folder(tmp_path)
    held_back = repeated(at, "held.npz", 6, different=4, times=100)
    files = Files(repeated(at, "evaluation.npz", 5, different=240, times=1), held_back=held_back)
    with pytest.raises(DataError, match=r"4 rows that differ held back cannot show"):
        found(at, chain(poisoned=False), "0.9", "top1_agreement", files=files)


def test_rows_that_stand_twice_count_once_and_a_promise_that_they_show_is_kept(tmp_path: Path) -> None:
    at = folder(tmp_path)
    files = Files(repeated(at, "evaluation.npz", 5, different=240, times=2))
    look = found(at, chain(poisoned=False), "0.9", "top1_agreement", files=files).record["looks"][-1]
    assert {(figure["n"], figure["units"]) for figure in look["figures"]} == {(240, 120)}


def test_one_recording_under_many_names_is_one_sequence(tmp_path: Path) -> None:
    at = folder(tmp_path)
    one = np.random.default_rng(5).normal(size=(4, 20, WIDTH)).astype(np.float32)
    values = np.tile(one, (15, 1, 1)).reshape(-1, WIDTH)
    np.savez(at / "evaluation.npz", allow_pickle=False, x=values, run=np.arange(len(values)) // 20)
    plan = Plan(task="classification", sequence="run", measures=("size",))
    with pytest.raises(DataError, match=r"2 sequences that differ for the choice cannot show"):
        found(at, chain(poisoned=False), "0.8", "top1_agreement", files=Files(at / "evaluation.npz"), plan=plan)
