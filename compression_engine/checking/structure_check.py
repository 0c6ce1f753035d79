"""Whether a child may count where there are no evaluation rows: it loads, takes and gives what its parent does, and runs beside it.

Rules:
- both run on generated inputs (see `generated_inputs`), at the first sizes that the parent takes, and at two others where it takes
  them; a recurrent model hands its state on to itself;
- a model whose parent takes no inputs that we can think of is refused: rows are needed then (data_missing);
- a huge model is run in a second process (`second_process`), which the limit of this one does not bind;
- a model that does not fit into the memory at hand is not run: every tensor is expanded and laid beside the parent's instead
  (`expanded_check`), and the evidence says `structure-checked`; where steps cut, prune or train, tensors alone tell nothing, and
  that is refused before anything is made (model_does_not_fit);
- the evidence is of the kind `structure`, with metrics of its own names: nobody can mistake it for fidelity on real rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

from compression_engine.answers.outputs import PARENT, VERSION
from compression_engine.canonical import JSON
from compression_engine.checking import expanded_check
from compression_engine.checking.generated_agreement import Agreement, differing, held
from compression_engine.checking.generated_inputs import Inputs, Proposal, is_state, proposals
from compression_engine.checking.second_process import figures_apart
from compression_engine.checking.weight_errors import METHOD, NOT_RUN
from compression_engine.data import Feed
from compression_engine.environment import environment
from compression_engine.errors import DataError, EngineError, OutputRefused
from compression_engine.evaluation import Settings
from compression_engine.formats import onnx_io
from compression_engine.formats.onnx_inputs import bounds
from compression_engine.measure import size
from compression_engine.memory_at_hand import memory_at_hand_bytes
from compression_engine.opening import ModelFile, check_signatures
from compression_engine.progress import Progress
from compression_engine.recipe import Recipe
from compression_engine.recipe_order import rewrites
from compression_engine.result import Evidence, Measurement
from compression_engine.runtime import Model

RAN = "run-on-generated-inputs"
"""What the environment of the evidence says under `checked`, unless it is `NOT_RUN`."""
_FEEDS, _OTHER_SIZES = 4, 2
_STEPS = 4
_HUGE_BYTES = 1024**3
"""A parent with more is run in a second process."""
_COPIES = 2.5
"""How many times a model's weights a runtime may hold while it opens it: the file, the weights, and their packed form."""


def check_structure(files: Mapping[str, ModelFile], settings: Settings, progress: Progress) -> list[Evidence]:
    """Runs child and parent (roles of `outputs`) on generated inputs and gives evidence of kinds `size` and `structure`.

    Raises EngineError: data_missing, output_does_not_load, output_does_not_run, OutputRefused (output_not_finite).
    """
    progress("check", 0, 1, "opening the models")
    child, parent = files[VERSION], files[PARENT]
    apart = parent.size_bytes > _HUGE_BYTES
    if not fits(parent, apart=apart):
        checked, method, found = NOT_RUN, METHOD, _look(child.path, parent.path, progress)
    else:
        checked, method = RAN, "generated_inputs"
        found = (
            figures_apart(child.path, parent.path, settings)
            if apart
            else run_beside(child.path, parent.path, settings, progress)
        )
    progress("check", 1, 1, "the model may count" if checked == RAN else "the model is too large to be run here")
    return [_evidence("size", size.METHOD, size.measure_size(child.size_bytes, parent.size_bytes), settings),
            _evidence("structure", method, found, settings, checked)]  # fmt: skip


def fits(parent: ModelFile, *, apart: bool = False) -> bool:
    """Whether a child can be run beside this parent, here or in a process of its own."""
    return _fits(parent.size_bytes, apart=apart)


def _fits(parent_size_bytes: int, *, apart: bool) -> bool:
    return parent_size_bytes * _COPIES * 2 <= memory_at_hand_bytes(of_a_new_process=apart)


def _needed(parent_size_bytes: int) -> str:
    return f"{parent_size_bytes * _COPIES * 2 / 1024**2:,.0f} MiB"


def check_comparable(parent_size_bytes: int, recipe: Recipe) -> None:
    """Refuses a child that, without rows, could only be laid beside its parent tensor by tensor, where steps rewrite tensors.

    Raises EngineError (model_does_not_fit).
    """
    rewriting = [(number, step.method) for number, step in enumerate(recipe.steps, start=1) if rewrites(step)]
    if rewriting and not _fits(parent_size_bytes, apart=parent_size_bytes > _HUGE_BYTES):
        number, method = rewriting[0]
        message = (
            f"Step {number}: {method} leaves other numbers than the parent's: its model has to be run to be judged, for which "
            f"{_needed(parent_size_bytes)} of memory must be free."
        )
        hint = "Give more memory; or use quantize_weights or convert_fp16, whose tensors can be compared one by one."
        raise EngineError("model_does_not_fit", message, hint)


def check_room(parent: ModelFile) -> None:
    """Refuses to run two huge models on rows where that would end this process; raises EngineError (model_does_not_fit)."""
    if parent.size_bytes > _HUGE_BYTES and not fits(parent):
        needed = _needed(parent.size_bytes)
        message = f"The rows cannot be answered: to run the model beside its parent {needed} of memory must be free."
        hint = "Leave out the evaluation rows: the output is then compared with its parent, and says so. Or give more memory."
        raise EngineError("model_does_not_fit", message, hint)


def run_beside(child: Path, parent: Path, settings: Settings, progress: Progress) -> list[Measurement]:
    """The figures of the evidence `structure` of a child that runs; raises EngineError."""
    original = Model(parent, settings.threads, what="The original", provider=settings.provider)
    version = Model(child, settings.threads, what="The compressed model", provider=settings.provider)
    check_signatures({VERSION: version, PARENT: original})
    asked = _Asked(original, Inputs(original.declared(), bounds(_graph_of(parent)), settings.seed), progress)
    first = asked.first()
    names = original.output_names
    agreement = Agreement(differing(names, original.run_any(first), original.run_any(first)))
    for number, feed in enumerate(asked.feeds(), start=1):
        progress("check", 0, 1, f"generated inputs {number}")
        for ours, theirs in _along(version, original, feed):
            agreement.add(names, ours, theirs)
    return agreement.figures()


def _graph_of(path: Path) -> onnx.ModelProto:
    return onnx.load_model(str(path), load_external_data=False)


@dataclass
class _Asked:
    """Finds inputs that a model takes."""

    model: Model
    inputs: Inputs
    progress: Progress
    chosen: Proposal | None = None

    def first(self) -> Feed:
        """The first inputs that the model answers, and others of their kind otherwise; raises DataError (data_missing)."""
        missing = self.inputs.missing()
        if missing is not None:
            message = f"The input {missing.name!r} is a {missing.type}: nothing can be generated for it."
            raise DataError("data_missing", message, "Give evaluation rows, or export the model to take tensors.")
        refused, tried, blind = "", 0, None
        for proposal in proposals():
            tried += 1
            if tried > 1 and not self._is_worth_trying(proposal):
                continue
            feed, said = self._try(proposal, 0)
            if feed is not None and self._tells(feed, proposal):
                self.chosen = proposal
                return feed
            if feed is not None and blind is None:
                blind = (proposal, feed)
            refused = refused or said
        if blind is not None:
            self.chosen = blind[0]
            return blind[1]
        hint = "Give evaluation rows: inputs of the model that it really gets."
        message = f"The original takes none of the inputs that were generated for it. On the first: {refused}"
        raise DataError("data_missing", message, hint)

    def feeds(self) -> Iterator[Feed]:
        """Several inputs of the sizes that were found first, then some of other sizes."""
        assert self.chosen is not None
        for number in range(_FEEDS):
            feed, _ = self._try(self.chosen, number)
            if feed is not None:
                yield feed
        others = 0
        if not self.inputs.has_free_sizes():
            return
        for proposal in proposals():
            near = proposal.integers == self.chosen.integers and proposal.size <= max(4 * self.chosen.size, 64)
            if proposal.size == self.chosen.size or not near:
                continue
            feed, _ = self._try(proposal, _FEEDS)
            if feed is not None:
                yield feed
                others += 1
            if others == _OTHER_SIZES:
                return

    def _tells(self, feed: Feed, proposal: Proposal) -> bool:
        """Whether other inputs are answered otherwise: where they are not, weights could be anything."""
        other, _ = self._try(proposal, 1)
        names = self.model.output_names
        return other is not None and bool(differing(names, self.model.run_any(feed), self.model.run_any(other)))

    def _is_worth_trying(self, proposal: Proposal) -> bool:
        """Whether a proposal can differ from the first one."""
        return self.inputs.has_free_sizes() or proposal.integers != "drawn"

    def _try(self, proposal: Proposal, number: int) -> tuple[Feed | None, str]:
        feed = self.inputs.feed(proposal, number)
        if feed is None:
            return None, "they would be too large."
        try:
            return (feed, "") if held(self.model.run_any(feed)) else (None, "it answers with nothing.")
        except EngineError as error:
            if error.code != "output_does_not_run":
                raise
            return None, error.message


def _along(version: Model, original: Model, feed: Feed) -> Iterator[tuple[list[Any], list[Any]]]:
    """Both answers; where a model has states, along a few steps in which each hands on its own."""
    ours, theirs = version.run_any(feed), original.run_any(feed)
    yield ours, theirs
    states = _states(original, feed, theirs)
    mine, others = dict(feed), dict(feed)
    for _ in range(_STEPS - 1 if states else 0):
        mine |= {name: ours[index] for name, index in states.items()}
        others |= {name: theirs[index] for name, index in states.items()}
        ours, theirs = version.run_any(mine), original.run_any(others)
        yield ours, theirs


def _states(model: Model, feed: Feed, answered: list[Any]) -> dict[str, int]:
    """Which output goes back into which input: of the same form and type, in order; none unless every state has its own."""
    wanted = [entry.name for entry in model.declared() if is_state(entry)]
    found: dict[str, int] = {}
    for name in wanted:
        for index, output in enumerate(answered):
            fits = getattr(output, "shape", None) == feed[name].shape and output.dtype == feed[name].dtype
            if fits and feed[name].size and index not in found.values():
                found[name] = index
                break
    return found if len(found) == len(wanted) else {}


def _look(child: Path, parent: Path, progress: Progress) -> list[Measurement]:
    """Without running: the child can be read, is a valid graph, has the parent's inputs and outputs, and all of its weights."""
    ours, theirs = onnx_io.inspect_model(child), onnx_io.inspect_model(parent)
    if (ours.inputs, ours.outputs) != (theirs.inputs, theirs.outputs):
        hint = "This is a fault of the method: report it with the recipe."
        raise OutputRefused("output_does_not_run", "Inputs or outputs differ from the original's.", hint)
    try:
        onnx.checker.check_model(str(child))
    except onnx.checker.ValidationError as error:
        first = str(error).strip().splitlines()[0]
        raise OutputRefused(
            "output_does_not_load", f"The compressed model is no valid graph: {first}.", "Report it."
        ) from error
    return expanded_check.compare_tensors(child, parent, progress)


def _evidence(
    kind: str, method: str, found: list[Measurement], settings: Settings, checked: str | None = None
) -> Evidence:
    facts: list[dict[str, JSON]] = environment(settings.threads, provider=settings.provider)
    if checked is not None:
        facts = sorted([*facts, {"name": "checked", "value": checked}], key=lambda fact: str(fact["name"]))
    return Evidence(kind, method, settings.seed if checked is not None else None, facts, found)
