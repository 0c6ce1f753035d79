"""How many nodes a model has once its functions stand in the place of their calls, as every runtime puts them.

A file of some kilobytes can hold functions that call each other twice, thirty deep: a thousand million nodes, for which a reader
takes all memory and time. Functions that call themselves are no model (ONNX IR, "Model-local functions").
"""

from __future__ import annotations

from collections import Counter

from compression_engine.structure.protobuf import invalid, over_limit

Name = tuple[str, str, str]
"""Domain, operator and overload."""
_STANDARD = "ai.onnx"


def name_of(domain: str, operator: str, overload: str) -> Name:
    """A function's name, or that of what a node calls; the standard domain has two spellings."""
    return ("" if domain == _STANDARD else domain, operator, overload)


class Calls:
    """Who calls what: the functions of a model, and its graph."""

    def __init__(self) -> None:
        self._graph: Counter[Name] = Counter()
        self._functions: dict[Name, Counter[Name]] = {}
        self._here = self._graph

    def note(self, called: Name) -> None:
        """A node of what is walked now."""
        self._here[called] += 1

    def begin_function(self) -> None:
        """From now on nodes are those of a function."""
        self._here = Counter()

    def end_function(self, name: Name) -> None:
        """The function was walked; raises FileRefused (structure_invalid) where there are two of the name."""
        if name in self._functions:
            raise invalid(f"The model has two functions {'::'.join(filter(None, name))!r}.")
        self._functions[name], self._here = self._here, self._graph

    def check(self, nodes_max: int) -> None:
        """Raises FileRefused: limit_exceeded for too many nodes, structure_invalid for a function that calls itself."""
        sizes: dict[Name, int] = {}
        for called in self._graph:
            if called not in sizes:
                self._measure(called, sizes)
        total = sum(count * sizes.get(called, 1) for called, count in self._graph.items())
        if total > nodes_max:
            raise over_limit(
                f"With its functions in the place of their calls the model has more than {nodes_max} nodes."
            )

    def _measure(self, first: Name, sizes: dict[Name, int]) -> None:
        """Finds the sizes of a function and all that it calls, without recursion: how deep they nest is up to the file."""
        path = [(first, iter(self._functions.get(first, ())))]
        open_here = {first}
        while path:
            name, rest = path[-1]
            inner = next((called for called in rest if called in self._functions and called not in sizes), None)
            if inner is None:
                body = self._functions.get(name, Counter())
                sizes[name] = sum(count * sizes.get(called, 1) for called, count in body.items()) if body else 1
                open_here.discard(name)
                path.pop()
            elif inner in open_here:
                raise invalid(f"The function {'::'.join(filter(None, inner))!r} calls itself.")
            else:
                path.append((inner, iter(self._functions[inner])))
                open_here.add(inner)
