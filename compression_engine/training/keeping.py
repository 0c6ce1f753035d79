"""What a training keeps: the best weights so far, and resume points as often as writing them takes little of the time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from compression_engine.canonical import JSON
from compression_engine.training.material import Training
from compression_engine.training.moving import Mover
from compression_engine.training.resume import State, digest_of_weights

if TYPE_CHECKING:
    import torch

_SHARE_OF_TIME = 0.05
_SECONDS_FIRST = 0.5
"""Before the first point nobody knows what one costs."""
_NOW, _BEST, _MOMENTA, _STATE = "now/", "best/", "momenta/", "state/"


class Keeping:
    """The best weights in memory, and the resume point of one phase of one step."""

    def __init__(
        self,
        training: Training,
        phase: int,
        mover: Mover,
        state: Mapping[str, torch.Tensor],
        say: Callable[[str], None],
    ) -> None:
        self._place, self._phase, self._mover, self._say = training.resume, phase, mover, say
        self._held = mover.tensors() | {f"{_STATE}{name}": value for name, value in state.items()}
        self._best: dict[str, torch.Tensor] = {}
        self._start = ""
        if self._place is not None:
            self._start = digest_of_weights(mover.beginning() | dict(self._held))
        self._kept_at, self._cost_seconds = time.monotonic(), _SECONDS_FIRST * _SHARE_OF_TIME

    def best(self) -> None:
        """The weights are the best so far."""
        self._best = {name: value.clone() for name, value in self._held.items()}

    def restore_best(self) -> None:
        """Puts the best weights into the network."""
        _put(self._held, self._best)

    def resume(self) -> Mapping[str, JSON] | None:
        """Puts everything where an earlier attempt left it, and says how far it was; None where none can be gone on from."""
        if self._place is None:
            return None
        state = self._place.load(self._phase, self._start, self._say)
        if state is None:
            return None
        if not self._fits(state):
            self._say("the resume point does not fit what is trained: training begins anew")
            return None
        _put(self._held, _under(state.tensors, _NOW))
        self._best = {name: value.to(self._held[name].device) for name, value in _under(state.tensors, _BEST).items()}
        self._mover.take_momenta(_under(state.tensors, _MOMENTA))
        return state.facts

    def _fits(self, state: State) -> bool:
        """Whether every tensor is one of this training, of its form: the optimiser reads them without looking."""
        now, best, momenta = (_under(state.tensors, kind) for kind in (_NOW, _BEST, _MOMENTA))
        forms = {name: (value.dtype, value.shape) for name, value in self._held.items()}
        if _forms(best) != forms or (now and _forms(now) != forms):
            return False
        return len(now) + len(best) + len(momenta) == len(state.tensors) and self._mover.takes(momenta)

    def point(self, facts: Callable[[], Mapping[str, JSON]]) -> None:
        """Keeps a resume point, unless the last one is so fresh that it would take more than a twentieth of the time."""
        begun = time.monotonic()
        if self._place is None or self._cost_seconds > _SHARE_OF_TIME * (begun - self._kept_at):
            return
        tensors = _as(_NOW, self._held) | _as(_BEST, self._best) | _as(_MOMENTA, self._mover.momenta())
        self._place.save(self._phase, self._start, State(tensors, facts()))
        self._kept_at = time.monotonic()
        self._cost_seconds = self._kept_at - begun

    def finish(self, facts: Mapping[str, JSON]) -> None:
        """Puts the best weights into the network, and keeps them as the outcome."""
        self.restore_best()
        if self._place is not None:
            self._place.save(self._phase, self._start, State(_as(_BEST, self._best), facts))


def _put(places: Mapping[str, torch.Tensor], values: Mapping[str, torch.Tensor]) -> None:
    import torch

    with torch.no_grad():
        for name, value in values.items():
            places[name].copy_(value)


def _forms(tensors: Mapping[str, torch.Tensor]) -> dict[str, tuple[torch.dtype, torch.Size]]:
    return {name: (value.dtype, value.shape) for name, value in tensors.items()}


def _under(tensors: Mapping[str, torch.Tensor], kind: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(kind): value for name, value in tensors.items() if name.startswith(kind)}


def _as(kind: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {f"{kind}{name}": value for name, value in tensors.items()}
