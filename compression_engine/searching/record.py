"""SEARCH.json: what was promised, on which rows, every recipe that was tried with why it fell, the front, and what was chosen.

Rules:
- the same inputs, seed and libraries give the same document, but for `timing`; where the fastest was wanted, that decided, and the
  document says so;
- the front (Pareto) holds the measured recipes that no other beats in size and in how far it moves answers; `figure` is the one
  kept least;
- facts only: no time, no path, no name of a machine beyond what evidence says of its environment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources

from compression_engine.canonical import JSON, parse_json
from compression_engine.environment import ENGINE_VERSION, environment
from compression_engine.plan import Plan
from compression_engine.recipe import Step
from compression_engine.searching.bounds import too_small
from compression_engine.searching.budget import FASTEST, SMALLEST
from compression_engine.searching.kept import usable_rows
from compression_engine.searching.mixing import Cost
from compression_engine.searching.pace import Pace
from compression_engine.searching.rows import HELD_BACK, Parts
from compression_engine.searching.trials import THREADS, Trial, Workshop
from compression_engine.searching.verifying import Look

SEARCH_TYPE = "pressmark/search/1"
SEARCH_NAME, RECIPE_NAME = "SEARCH.json", "RECIPE.json"
_DECIDED = {SMALLEST: "size_bytes", FASTEST: "latency_ratio"}


def schema_of_search() -> JSON:
    """The JSON Schema of `pressmark/search/1`."""
    return parse_json((resources.files("compression_engine") / "schemas" / "search-1.json").read_bytes())


@dataclass
class Found:
    """What a search has found so far."""

    shop: Workshop
    parts: Parts
    plan: Plan | None
    chosen_by_user: bool
    orders: list[tuple[str, Sequence[Cost]]] = field(default_factory=list)
    """For each recipe of the whole model that was to be mended: its digest, and what each weight costs in it."""
    paces: Mapping[str, Pace] = field(default_factory=dict)
    looks: Sequence[Look] = ()
    chosen: Trial | None = None
    stopped_by: str | None = None

    def front(self) -> list[Trial]:
        """The measured recipes that no other beats in size and in how far answers move, the smallest first."""
        sized = [trial for trial in self.shop.tried.values() if trial.size_bytes is not None and trial.figures]
        ordered = sorted(sized, key=lambda trial: (trial.size_bytes or 0, trial.distortion, trial.digest))
        kept: list[Trial] = []
        for trial in ordered:
            if not kept or trial.distortion < kept[-1].distortion:
                kept.append(trial)
        return kept

    def document(self) -> dict[str, JSON]:
        """The content of SEARCH.json."""
        shop = self.shop
        loaded = shop.loaded
        parent = {"digest": loaded.digest, "path": loaded.path.name, "size_bytes": loaded.size_bytes}
        rows = self.parts.records(shop.plan)
        if shop.material is not None:
            rows.append(
                {
                    "digest": shop.material.rows.digest,
                    "near_rows": None,
                    "rows": len(shop.material.rows),
                    "sequences": None,
                    "use": "calibration",
                }
            )
        return {
            "budget": shop.budget.document()
            | {
                "measures": list(shop.measures),
                "measures_named": self.chosen_by_user,
                "slices": list(shop.plan.slices),
            },
            "chosen": None if self.chosen is None else self._chosen(self.chosen),
            "decided_by": _DECIDED[shop.budget.then],
            "engine": {"name": "compression_engine", "version": ENGINE_VERSION},
            "environment": environment(THREADS, self.parts.choice.preprocessing or "arrays as they are"),
            "front": [self._point(trial) for trial in self.front()],
            "looks": [look.document() for look in self.looks],
            "parent": parent,
            "plan": None if self.plan is None else self.plan.document(),
            "plan_digest": None if self.plan is None else self.plan.digest(),
            "rows": rows,
            "rows_parted": self.parts.parted,
            "seed": shop.seed,
            "stopped_by": self.stopped_by,
            "timing": [pace.document() for pace in self.paces.values()],
            "too_small_slices": self._too_small(),
            "trials": [trial.document() for trial in shop.tried.values()],
            "type": SEARCH_TYPE,
            "weights": [
                {"costs": [entry.document() for entry in order], "recipe_digest": digest}
                for digest, order in self.orders
            ],
        }

    def _too_small(self) -> list[dict[str, JSON]]:
        return [
            {"name": name, "rows": rows, "use": use, "value": value}
            for use in self.shop.answers
            for name, value, rows in self._slices_too_small(use)
        ]

    def _slices_too_small(self, use: str) -> list[tuple[str, str, int]]:
        outputs = self.shop.answers[use]
        return too_small(outputs.slices, usable_rows(outputs, self.shop.plan))

    def _point(self, trial: Trial) -> dict[str, JSON]:
        worst = trial.worst
        return {
            "distortion": trial.document()["distortion"],
            "figure": None if worst is None else worst.document(),
            "passes": trial.passes,
            "recipe_digest": trial.digest,
            "size_bytes": trial.size_bytes,
        }

    def _chosen(self, trial: Trial) -> dict[str, JSON]:
        look = next(look.number for look in self.looks if look.trial is trial)
        return {"look": look, "recipe_digest": trial.digest, "size_bytes": trial.size_bytes}

    def words(self) -> list[str]:
        """What a person reads of a search that found something."""
        assert self.chosen is not None
        held = next(look for look in self.looks if look.trial is self.chosen)
        count = len(self.parts.choice.rows)
        times = self.shop.loaded.size_bytes / (self.chosen.size_bytes or 1)
        methods = ", then ".join(_step_words(step) for step in self.chosen.recipe.steps)
        said = [
            f"{len(self.shop.tried)} recipes were tried on {count} rows; chosen: {methods}, {times:.2f} times smaller."
        ]
        said += [f"On held-back rows {figure.plain}." for figure in held.figures]
        said.append(
            f"Held against rows on which nothing was chosen, the gentlest first: {len(self.looks)} of them; so a promise that is "
            "not kept passes in 2.5 % of searches at most."
        )
        if not self.looks[-1].holds:
            said.append(f"What was wanted more fell there: {self.looks[-1].worst.plain}.")
        said += [
            f"Too few rows to say anything where {name} is {value}: {rows}."
            for name, value, rows in sorted(self._slices_too_small(HELD_BACK))
        ]
        if self.parts.near:
            said.append(
                f"{self.parts.near} of {len(self.parts.held_back.rows)} held-back rows are nearly the same as a row of the choice: "
                "where they are copies of it, the promise is judged on rows that recipes were chosen on."
            )
        pace = self.paces.get(self.chosen.digest)
        if pace is not None:
            said.append(f"It takes {pace.ratio:.2f} of the original's time for a row ({pace.rounds} rounds in turns).")
        if self.stopped_by is not None:
            said.append(f"The search was ended by its limit of {self.stopped_by}; more might be found.")
        return said


def _step_words(step: Step) -> str:
    """A step as a person reads it: its method and what is not as it would be anyway."""
    changed = {
        one.name: step.parameters[one.name] for one in step.spec.parameters if step.parameters[one.name] != one.default
    }
    spared = changed.pop("exclude", ())
    words = [f"{name} {str(value).lower()}" for name, value in changed.items()]
    assert isinstance(spared, tuple)
    if spared:
        words.append(f"but for {spared[0] if len(spared) == 1 else f'{len(spared)} weights'}")
    return f"{step.method} ({', '.join(words)})" if words else step.method
