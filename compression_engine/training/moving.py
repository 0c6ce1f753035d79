"""Moves weights along their gradients: the optimiser, what stays frozen, and zeros that stay zeros."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from compression_engine.errors import EngineError
from compression_engine.methods.zeros import kept_zeros
from compression_engine.training.device import deterministic_or_told
from compression_engine.training.feeding import Trainable
from compression_engine.training.schedule import Schedule

if TYPE_CHECKING:
    import torch

_MATRIX = 2
_LOSS = "loss"


@dataclass(frozen=True)
class Own:
    """Parameters beside the network's weights, with a rate of their own; names are unique among all of them."""

    parameters: Mapping[str, torch.nn.Parameter]
    learning_rate: float
    weight_decay: float = 0.0


class Mover:
    """All that is trained: the network's weights but for frozen ones, what is given as own, what the loss trains for itself."""

    def __init__(
        self,
        network: Trainable,
        loss: object,
        schedule: Schedule,
        own: Sequence[Own],
        frozen: Collection[str],
        keep_zeros: bool,
    ) -> None:
        """Raises EngineError (nothing_to_train)."""
        self._schedule = schedule
        self._all = dict(network.weights)
        self._trained = {name: weight for name, weight in self._all.items() if name not in frozen}
        self._own = [*own, *_of_loss(loss, schedule)]
        if not self._trained and not any(group.parameters for group in self._own):
            hint = "Freeze fewer weights, or choose a method that needs no training."
            raise EngineError("nothing_to_train", "The model has no weights that could be trained.", hint)
        self._required = {name: weight.requires_grad for name, weight in self._all.items()}
        for name, weight in self._all.items():
            weight.requires_grad_(name in self._trained)
        self._pruned = _zeros(self._trained) if keep_zeros else {}
        self._names, self._groups = self._grouped()
        self._optimiser = self._made()

    def begin(self) -> None:
        """Forgets the gradients of the last update."""
        self._optimiser.zero_grad(set_to_none=True)

    def learn(self, loss: torch.Tensor) -> None:
        """Adds the gradients of a loss. Raises EngineError (nothing_to_train, cannot_be_trained)."""
        if not loss.requires_grad:
            hint = "Freeze fewer weights, or judge another output."
            raise EngineError("nothing_to_train", "The loss depends on no weight that is trained.", hint)
        with deterministic_or_told():
            loss.backward()

    def divide(self, by: float) -> None:
        """Makes of the sum of several pieces' gradients their mean, where only all pieces together say how much each counts."""
        for weight in self._parameters():
            if weight.grad is not None:
                weight.grad.div_(by)

    def move(self, rate: float) -> None:
        """One step of the optimiser at a share of the learning rates."""
        import torch

        for weight, zeros in self._pruned.values():
            if weight.grad is not None:
                weight.grad.masked_fill_(zeros, 0.0)
        if self._schedule.clip:
            torch.nn.utils.clip_grad_norm_(self._parameters(), self._schedule.clip, foreach=False)
        for group, own_rate in zip(self._optimiser.param_groups, self._groups, strict=True):
            group["lr"] = own_rate * rate
        self._optimiser.step()
        with torch.no_grad():
            for weight, zeros in self._pruned.values():
                weight.masked_fill_(zeros, 0.0)

    def release(self) -> None:
        """Leaves the weights as plain ones: gradients gone, each trainable or not as it was."""
        self._optimiser.zero_grad(set_to_none=True)
        for name, weight in self._all.items():
            weight.requires_grad_(self._required[name])

    def tensors(self) -> dict[str, torch.Tensor]:
        """What is trained, by name; the tensors themselves."""
        own = {f"own/{name}": value for group in self._own for name, value in group.parameters.items()}
        return {f"weight/{name}": weight.data for name, weight in self._trained.items()} | {
            name: value.data for name, value in own.items()
        }

    def beginning(self) -> dict[str, torch.Tensor]:
        """All that decides how training goes at its beginning, frozen weights too."""
        return self.tensors() | {f"frozen/{name}": weight.data for name, weight in self._all.items()}

    def momenta(self) -> dict[str, torch.Tensor]:
        """The optimiser's tensors by the name of what they belong to."""
        held = self._optimiser.state_dict()["state"]
        return {
            f"{self._names[number]}/{slot}": value
            for number, slots in held.items()
            for slot, value in slots.items()
            if value is not None
        }

    def takes(self, tensors: Mapping[str, torch.Tensor]) -> bool:
        """Whether these are momenta of what is trained: of its shape, or a single number."""
        shapes = dict(zip(self._names, (value.shape for value in self._parameters()), strict=True))
        whose = {name: name.rpartition("/")[0] for name in tensors}
        return all(
            whose[name] in shapes and (value.ndim == 0 or value.shape == shapes[whose[name]])
            for name, value in tensors.items()
        )

    def take_momenta(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Puts back what `momenta` gave."""
        places = {name: number for number, name in enumerate(self._names)}
        state: dict[int, dict[str, torch.Tensor]] = {}
        for name, value in tensors.items():
            whose, _, slot = name.rpartition("/")
            state.setdefault(places[whose], {})[slot] = value
        self._optimiser.load_state_dict(self._optimiser.state_dict() | {"state": state})

    def _parameters(self) -> list[torch.nn.Parameter]:
        return [value for group in self._optimiser.param_groups for value in group["params"]]

    def _grouped(self) -> tuple[list[str], list[float]]:
        """Names of all that is trained, in the optimiser's order, and the rate of each group."""
        matrices = [f"weight/{name}" for name, weight in self._trained.items() if weight.ndim >= _MATRIX]
        vectors = [f"weight/{name}" for name, weight in self._trained.items() if weight.ndim < _MATRIX]
        own = [[f"own/{name}" for name in group.parameters] for group in self._own]
        rates = [group.learning_rate for group in self._own]
        return [*matrices, *vectors, *(name for names in own for name in names)], [
            self._schedule.learning_rate
        ] * 2 + rates

    def _made(self) -> torch.optim.Optimizer:
        import torch

        matrices = [weight for weight in self._trained.values() if weight.ndim >= _MATRIX]
        vectors = [weight for weight in self._trained.values() if weight.ndim < _MATRIX]
        groups: list[dict[str, Any]] = [
            {"params": matrices, "weight_decay": self._schedule.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
            *({"params": list(group.parameters.values()), "weight_decay": group.weight_decay} for group in self._own),
        ]
        rate = self._schedule.learning_rate
        if self._schedule.optimiser == "sgd":
            return torch.optim.SGD(groups, lr=rate, momentum=self._schedule.momentum, fused=True)
        return torch.optim.AdamW(groups, lr=rate, fused=True)


def _of_loss(loss: object, schedule: Schedule) -> list[Own]:
    """What a loss trains for itself alone."""
    found = list(loss.parameters()) if hasattr(loss, "parameters") else []
    named = {f"{_LOSS}/{number}": value for number, value in enumerate(found)}
    return [Own(named, schedule.learning_rate)] if named else []


def _zeros(weights: Mapping[str, torch.nn.Parameter]) -> dict[str, tuple[torch.nn.Parameter, torch.Tensor]]:
    """The pruned weights with where their zeros are."""
    import torch

    found = {}
    for name, weight in weights.items():
        zeros = kept_zeros(weight.detach().cpu().numpy()) if weight.ndim >= _MATRIX else None
        if zeros is not None:
            found[name] = (weight, torch.from_numpy(zeros).to(weight.device))
    return found
