"""An ONNX graph as a differentiable network of torch: the graph that is exported is the graph that is trained.

Rules:
- parameters are the float tensors of the graph by their ONNX names (which of them: `choosing_weights`); one tensor that is read in
  several places is one parameter; numbers of 16 bits are trained as float32;
- the graph answers as at inference: normalisations use their stored statistics, dropout does nothing;
- sizes are looked at in every pass: batches and sequences may differ in length;
- what cannot be carried is refused when the network is made, by operator and node (EngineError, cannot_be_trained);
- `write_back` puts numbers into the place that they came from; a weight that did not change keeps its bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import onnx
import torch
from torch import Tensor

from compression_engine.errors import DataError, EngineError
from compression_engine.formats.onnx_functions import inline_functions
from compression_engine.training.compiling import compile_model
from compression_engine.training.operators.node import Types
from compression_engine.training.operators.table import SIZES
from compression_engine.training.pass_limits import look_at_memory, pass_watch, within_memory
from compression_engine.training.program import Places, put_on
from compression_engine.training.stored_weights import read, stored_in, write


class Network(torch.nn.Module):  # type: ignore[misc]  # torch has no types here
    """A model as a module; `weights` are its parameters by name, in the order of the file.

    `statistics` makes means and variances of BatchNormalization parameters too; `precision` is what floats of 16 and 32 bits are
    calculated in. `held` says which float tensors with axes are no parameters, and why; `left_out` names outputs that are no
    tensors of numbers. Raises EngineError (cannot_be_trained).
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        *,
        device: str = "cpu",
        statistics: bool = False,
        precision: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        if model.functions:
            whole, model = model, onnx.ModelProto()
            model.CopyFrom(whole)
            inline_functions(model)
        types = Types(precision)
        with within_memory():
            compiled = compile_model(model, types, statistics=statistics)
        self.device = torch.device(device)
        self.weights: dict[str, torch.nn.Parameter] = {}
        for name, (_, stored) in compiled.weights.items():
            numbers = torch.from_numpy(read(stored)).to(self.device, types.of(stored.data_type))
            self.weights[name] = torch.nn.Parameter(numbers)
        self._registered = torch.nn.ParameterList(self.weights.values())
        self._weight_places = {name: place for name, (place, _) in compiled.weights.items()}
        # integers stay where shapes are calculated; what meets numbers of another device is moved when it does
        self._fixed = {
            place: value.to(self.device) if value.is_floating_point() else value
            for place, value in compiled.fixed.items()
        }
        self._block, self._count, self._main = compiled.block, compiled.places, compiled.main
        self._inputs, self._outputs, self._input_types = compiled.inputs, compiled.outputs, compiled.input_types
        self.input_names, self.output_names = tuple(compiled.inputs), tuple(compiled.outputs)
        self.held, self.left_out = compiled.held, compiled.left_out
        self.overrides: dict[str, Callable[[Tensor], Tensor]] = {}
        if self.device.type != "cpu":
            put_on(self._block, self.device, SIZES)
        self._read = self._block.reads()
        self._made = {place for step in self._block.steps for place in step.outputs}
        self._planned: tuple[tuple[str, ...], tuple[str, ...]] | None = None

    def forward(self, feed: Mapping[str, Tensor], taps: Sequence[str] = ()) -> dict[str, Tensor]:
        """Outputs, and the tensors that `taps` names, by name.

        Raises DataError (data_does_not_fit) where an input is missing, EngineError (cannot_be_trained, out_of_memory,
        batch_does_not_end).
        """
        self._plan(tuple(taps))
        places: Places = [None] * self._count
        for place, value in self._fixed.items():
            places[place] = value
        for name, place in self._weight_places.items():
            places[place] = self._changed(name, self.weights[name])
        for name, place in self._inputs.items():
            if name in feed:
                places[place] = self._changed(name, feed[name].to(self.device, self._input_types[name]))
            elif place in self._read:
                hint = "Give a column for every input of the model."
                raise DataError("data_does_not_fit", f"The rows have no {name!r}, which the model reads.", hint)
        look_at_memory()
        with pass_watch().watched():
            self._block.run(places)
        wanted = {**self._outputs, **{name: self._main[name] for name in taps}}
        return {name: places[place] for name, place in wanted.items()}

    def write_back(self, model: onnx.ModelProto) -> list[str]:
        """Puts the parameters into a model that has tensors of these names; which of them changed, in the order of the file.

        Raises EngineError (cannot_be_trained) where the model has no such tensor, or one of another shape, and (training_diverged)
        where a number grew beyond what its type holds.
        """
        places = {stored.name: stored for stored in stored_in(model)}
        for name, weight in self.weights.items():  # all, before the first is written
            if name not in places or places[name].shape != tuple(weight.shape):
                hint = "Write back into the model that the network was made of."
                raise EngineError("cannot_be_trained", f"The model has no weight {name!r} of this shape.", hint)
        return [
            name for name, weight in self.weights.items() if write(places[name], weight.detach().cpu().numpy())
        ]  # fmt: skip

    def _changed(self, name: str, value: Tensor) -> Tensor:
        change = self.overrides.get(name)
        return value if change is None else change(value)

    def _plan(self, taps: tuple[str, ...]) -> None:
        """Makes the calls anew where other tensors are changed or tapped than in the last pass."""
        key = (tuple(self.overrides), taps)
        if key == self._planned:
            return
        self._check_names(taps)
        changes = {
            self._main[name]: self._overriding(name)
            for name in self.overrides
            if name in self._main and name not in self.weights and name not in self._inputs
        }
        self._block.plan(changes, {self._main[name] for name in taps})
        self._planned = key

    def _overriding(self, name: str) -> Callable[[Tensor], Tensor]:
        return lambda value: self.overrides[name](value)

    def _check_names(self, taps: Sequence[str]) -> None:
        """A name that nothing has would be changed or tapped in silence."""
        for name in self.overrides:
            known = name in self.weights or name in self._inputs or self._main.get(name) in self._made
            if not known:
                raise ValueError(f"nothing that is calculated is called {name!r}")
        for name in taps:
            if name not in self._main:
                raise ValueError(f"no tensor of the model is called {name!r}")
