"""Latencies of many models taken in turns, so that a busy machine slows all alike: only ratios within a round are told."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from compression_engine.data import Encoder, Feed
from compression_engine.measure.statistics.intervals import Floats
from compression_engine.runtime import Model

_WARM_UP = 10
_PARENT = "the original"


@dataclass(frozen=True)
class Turns:
    """Seconds of each model by number of threads, one a round; [rounds] each."""

    seconds: dict[int, dict[str, Floats]]

    def ratios(self, name: str, threads: int = 1) -> Floats:
        """A model's time as a share of the original's in the same round; [rounds]."""
        found = self.seconds[threads]
        return found[name] / found[_PARENT]


def in_turns(parent: Model, models: dict[str, Model], at_two: dict[str, Model], feed: Feed, rounds: int) -> Turns:
    """Times all `models` beside their parent with one thread, and those of `at_two` once more with two."""
    two = {name: model.reopened(2) for name, model in at_two.items()}
    return Turns({1: timed(parent, models, feed, rounds), 2: timed(parent.reopened(2), two, feed, rounds)})


def timed(parent: Model, models: dict[str, Model], feed: Feed, rounds: int) -> dict[str, Floats]:
    """Seconds of one answer each a round; the order within a round turns, so that no model always follows another."""
    everyone = {_PARENT: parent} | models
    times = {name: np.empty(rounds) for name in everyone}
    for number in range(-_WARM_UP, rounds):
        names = list(everyone)
        turned = names[number % len(names) :] + names[: number % len(names)]
        for name in turned:
            start = time.perf_counter()
            everyone[name].run(feed)
            if number >= 0:
                times[name][number] = time.perf_counter() - start
    return times


def typical(encoder: Encoder) -> Feed:
    """Of texts, the row of median length, alone."""
    counts = encoder.token_counts()
    assert counts is not None
    return encoder.batch([int(np.argsort(counts)[len(counts) // 2])])
