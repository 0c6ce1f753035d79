"""Models of torch at the door: carried to ONNX as they are, deterministically, with nothing unpickled; else refused by name."""

from __future__ import annotations

import io
import json
import os
import pickle
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import safetensors.torch
import torch
from torch import nn

from compression_engine import compress
from compression_engine.carrying.architectures import declared
from compression_engine.carrying.door import carried, torch_file
from compression_engine.carrying.nothing_unpickled import nothing_unpickled
from compression_engine.carrying.plain_nets import Perceptron, Residual
from compression_engine.errors import EngineError, FileRefused
from compression_engine.evaluation import evaluate
from compression_engine.recipe import shipped_recipes
from compression_engine.replaying.replay import replay
from compression_engine.result import read_result
from tests.engine import exported, nets

PERCEPTRON = {"type": "pressmark/architecture/1", "architecture": "perceptron", "widths": [64, 96, 48], "input": "x"}
RESIDUAL = {
    "type": "pressmark/architecture/1", "architecture": "residual", "channels": 1, "height": 12, "width": 12, "stem": 4,
    "blocks": [[4, 1], [8, 2]], "classes": 3, "input": "image",
}  # fmt: skip
BERT = {
    "model_type": "bert", "vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4,
    "intermediate_size": 24, "max_position_embeddings": 20, "type_vocab_size": 2, "hidden_act": "gelu",
}  # fmt: skip
DISTILBERT = {
    "model_type": "distilbert", "vocab_size": 40, "dim": 16, "n_layers": 2, "n_heads": 4, "hidden_dim": 24,
    "max_position_embeddings": 20, "activation": "gelu",
}  # fmt: skip


class Perceptron2(nn.Module):
    """x [rows, 64] to y [rows, 48]."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(64, 96), nn.Linear(96, 48)

    def forward(self, x: Any) -> Any:
        return self.second(torch.relu(self.first(x)))


def archive(module: nn.Module, example: torch.Tensor, path: Path) -> Path:
    """Writes a module as torch.export does, its first axis free."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        shapes = ({0: torch.export.Dim("rows", min=1, max=4096)},)
        torch.export.save(torch.export.export(module.eval(), (example,), dynamic_shapes=shapes), path)
    return path


def perceptron(path: Path) -> tuple[nn.Module, Path]:
    torch.manual_seed(0)
    module = Perceptron2()
    return module, archive(module, torch.zeros(3, 64), path)


def declare(document: dict[str, Any], tensors: dict[str, torch.Tensor], folder: Path) -> Path:
    """Tensors in safetensors, and the document that says what they are for; the document's path."""
    folder.mkdir(parents=True, exist_ok=True)
    safetensors.torch.save_file(tensors, str(folder / "model.safetensors"))
    name = "architecture.json" if "type" in document else "config.json"
    (folder / name).write_text(json.dumps(document))
    return folder / name


def tensors_of(
    document: dict[str, Any], names: frozenset[str] = frozenset()
) -> tuple[nn.Module, dict[str, torch.Tensor]]:
    """A module of a declared architecture with weights that are drawn."""
    torch.manual_seed(1)
    module = declared(document, names).source.module.to_empty(device="cpu")  # it has shapes and no numbers
    for part in module.modules():
        if hasattr(part, "reset_parameters"):
            part.reset_parameters()
    return module, {name: tensor.clone() for name, tensor in module.state_dict().items()}


def edited(
    path: Path, target: Path, change: Callable[[dict[str, Any]], None], more: dict[str, bytes] | None = None
) -> Path:
    """A copy of an archive with another graph, and with other members."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as new:
        top = old.namelist()[0].split("/")[0]
        for entry in old.infolist():
            data = old.read(entry)
            if entry.filename.endswith("models/model.json"):
                document = json.loads(data)
                change(document)
                data = json.dumps(document).encode()
            new.writestr(entry.filename, data)
        for name, data in (more or {}).items():
            new.writestr(f"{top}/{name}", data)
    return target


def answers(path: Path, feed: dict[str, nets.Array]) -> nets.Array:
    return nets.answer(path, feed)[0]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name == "recurrent" else pytest.mark.long) for name in exported.NETS]
)
def test_an_archive_answers_as_the_module_that_was_exported(name: str, tmp_path: Path) -> None:
    net = exported.NETS[name]
    torch.manual_seed(0)
    module = net.build().eval()
    path = archive(module, torch.from_numpy(net.draw(np.random.default_rng(0), 3)), tmp_path / "net.pt2")
    with carried(path) as door:
        assert door is not None
        for rows in (1, 5):
            x = net.draw(np.random.default_rng(rows), rows)
            with torch.no_grad():
                theirs = module(torch.from_numpy(x)).numpy()
            np.testing.assert_allclose(answers(door.path, {net.input_name: x}), theirs, atol=2e-6)
        figures = {one.metric: one.value for one in door.agreement(None, None, []).measurements}
        assert figures["carried_calls"] == 4
        assert figures["carried_cosine"] > 0.999999
    assert not door.path.exists()


def test_one_recipe_gives_like_children_of_an_archive_and_of_the_onnx_export(tmp_path: Path) -> None:
    module, path = perceptron(tmp_path / "torch" / "model.pt2")
    beside = tmp_path / "onnx" / "model.onnx"
    beside.parent.mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module, (torch.zeros(3, 64),), str(beside), input_names=["x"], output_names=["y"],
            dynamic_axes={"x": {0: "n"}, "y": {0: "n"}}, dynamo=False,
        )  # fmt: skip
    rows = nets.save_rows(nets.rows_for("x", count=60), tmp_path / "rows.npz")
    children = {}
    for name, parent in (("torch", path), ("onnx", beside)):
        compress(
            parent,
            shipped_recipes()["smaller-same-speed"].recipe,
            output_folder=tmp_path / f"{name}-child",
            evaluation=rows,
        )
        children[name] = answers(tmp_path / f"{name}-child" / "model.onnx", nets.rows_for("x", count=60, seed=3))
    assert nets.least_cosine(children["torch"], children["onnx"]) >= 0.999
    document = read_result(tmp_path / "torch-child" / "RESULT.json")
    assert document["parent"]["path"] == "model.pt2"
    assert document["parent"]["size_bytes"] == path.stat().st_size
    assert document["parent"]["carried"]["exporter"]["opset"] == 17
    methods = [entry["document"]["method"]["name"] for entry in document["evidence"]]
    assert "carried_agreement" in methods
    facts = {one.key: one.value for one in onnx.load(str(tmp_path / "torch-child" / "model.onnx")).metadata_props}
    assert facts["pressmark.parent_digest"] == document["parent"]["digest"]
    again = replay(tmp_path / "torch-child" / "RESULT.json", parent=path, output_folder=tmp_path / "again")
    assert again == document["outputs"][0]["digest"]
    with pytest.raises(EngineError) as refused:
        replay(tmp_path / "torch-child" / "RESULT.json", parent=beside, output_folder=tmp_path / "other")
    assert refused.value.code == "replay_parent_differs"
    found = evaluate(tmp_path / "torch-child" / "model.onnx", data=rows, parent=path)
    assert found.parent == document["parent"]


def test_the_same_archive_gives_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    _, path = perceptron(tmp_path / "model.pt2")
    code = (
        "import sys; from pathlib import Path; from compression_engine.carrying.door import carried\n"
        "with carried(Path(sys.argv[1])) as door: print(door.record['carried']['digest'])"
    )
    command, more = [sys.executable, "-c", code, str(path)], {"PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "2"}
    there = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ | more, timeout=120)
    with carried(path) as here:
        assert here is not None
        assert here.record["carried"]["digest"] == there.stdout.strip()  # type: ignore[index, call-overload]


def test_a_pickle_in_an_archive_is_refused_wherever_it_stands(tmp_path: Path) -> None:
    _, path = perceptron(tmp_path / "model.pt2")
    evil = pickle.dumps(os.getcwd)
    for number, name in enumerate(("data/weights/weight_9", "data/constants/custom_obj_0", "extra/notes")):
        bad = edited(path, tmp_path / f"bad{number}.pt2", lambda document: None, {name: evil})
        with pytest.raises(FileRefused) as refused, carried(bad):
            pass
        assert refused.value.code == "pickle_refused"


def test_nothing_is_unpickled_while_the_guard_stands() -> None:
    data = pickle.dumps([1])
    ways: list[Callable[[], Any]] = [
        lambda: pickle.loads(data), lambda: pickle.load(io.BytesIO(data)), lambda: torch.load(io.BytesIO(data)),
        lambda: pickle.Unpickler(io.BytesIO(data)),
    ]  # fmt: skip
    with nothing_unpickled():
        for way in ways:
            with pytest.raises(FileRefused, match="through a pickle"):
                way()
    assert pickle.loads(data) == [1]


def _replace_target(target: str) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        document["graph_module"]["graph"]["nodes"][0]["target"] = target

    return change


@pytest.mark.parametrize(
    "target", ["torch.ops.aten.from_file.default", "torch.serialization.os.system", "torch.ops.aten.cond.default",
               "_operator.attrgetter", "torch.ops.higher_order.cond"],
)  # fmt: skip
def test_an_operator_that_is_not_in_the_table_is_refused_by_name_and_not_called(target: str, tmp_path: Path) -> None:
    _, path = perceptron(tmp_path / "model.pt2")
    bad = edited(path, tmp_path / "bad.pt2", _replace_target(target))
    with pytest.raises(EngineError, match="not among the operators that are carried") as refused, carried(bad):
        pass
    assert refused.value.code == "cannot_be_carried"
    assert target.split(".")[-1] in refused.value.message or target.split(".")[-2] in refused.value.message


def test_texts_of_the_graph_are_never_evaluated(tmp_path: Path) -> None:
    """torch's own loader hands the text of a size to sympy, which evaluates it."""
    _, path = perceptron(tmp_path / "model.pt2")
    touched = tmp_path / "touched"

    def change(document: dict[str, Any]) -> None:
        for meta in document["graph_module"]["graph"]["tensor_values"].values():
            for size in meta["sizes"]:
                if "as_expr" in size:
                    size["as_expr"]["expr_str"] = f"__import__('pathlib').Path({str(touched)!r}).touch()"
        document["guards_code"] = [f"__import__('pathlib').Path({str(touched)!r}).touch()"]

    with carried(edited(path, tmp_path / "bad.pt2", change)) as door:
        assert door is not None
    assert not touched.exists()


class InPlace(nn.Module):
    """Rectifies in place what it calculated, or a view of it."""

    def __init__(self, seen: str) -> None:
        super().__init__()
        self.layer, self.seen = nn.Linear(8, 8), seen

    def forward(self, x: Any) -> Any:
        if self.seen == "input":
            return x.add_(1.0)
        h = self.layer(x)
        other = h[:, :4] if self.seen == "view" else None
        kept = torch.relu_(h) + h
        return kept if other is None else kept[:, :4] + other


def test_changes_in_place_are_carried_where_one_name_has_the_tensor(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = InPlace("alone")
    x = np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32)
    with carried(archive(module, torch.zeros(2, 8), tmp_path / "net.pt2")) as door:
        assert door is not None
        np.testing.assert_allclose(
            answers(door.path, {"x": x}), module(torch.from_numpy(x)).detach().numpy(), atol=1e-6
        )
    for seen, why in (("view", "others look at"), ("input", "own state or input|own state")):
        with (
            pytest.raises(EngineError, match=why),
            carried(archive(InPlace(seen), torch.zeros(2, 8), tmp_path / f"{seen}.pt2")),
        ):
            pass


def test_a_program_in_training_mode_is_refused_with_what_to_do(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Dropout(0.5))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(module.train(), (torch.zeros(4, 8),))
        torch.export.save(program, tmp_path / "model.pt2")
    with pytest.raises(EngineError, match="own state") as refused, carried(tmp_path / "model.pt2"):
        pass
    assert "eval()" in refused.value.hint


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document.pop("graph_module"),
        lambda document: document["graph_module"]["graph"]["tensor_values"].clear(),
        lambda document: document["graph_module"]["signature"].update(input_specs=[{"parameter": {}}]),
        lambda document: document["schema_version"].update(major=99),
        lambda document: document["graph_module"]["graph"]["nodes"].clear(),
        lambda document: document["graph_module"]["graph"]["nodes"][1]["outputs"][0]["as_tensor"].update(name=[[]]),
        lambda document: document["graph_module"]["graph"]["nodes"][0]["inputs"].pop(0),
    ],
)
def test_a_broken_description_is_a_typed_error(change: Callable[[dict[str, Any]], None], tmp_path: Path) -> None:
    _, path = perceptron(tmp_path / "model.pt2")
    with pytest.raises(EngineError) as refused, carried(edited(path, tmp_path / "bad.pt2", change)):
        pass
    assert refused.value.code in ("structure_invalid", "cannot_be_carried")


@pytest.mark.parametrize(
    "document", [PERCEPTRON, RESIDUAL, BERT, DISTILBERT], ids=["perceptron", "residual", "bert", "distil"]
)
def test_tensors_with_a_declared_architecture_are_carried(document: dict[str, Any], tmp_path: Path) -> None:
    module, tensors = tensors_of(document)
    path = declare(document, tensors, tmp_path / "model")
    with carried(path) as door:
        assert door is not None
        assert door.record["path"] == "model.safetensors"
        assert door.record["architecture"]["path"] == path.name  # type: ignore[index, call-overload]
        figures = {one.metric: one.value for one in door.agreement(None, None, []).measurements}
        assert figures["carried_cosine"] > 0.999999
        assert set(module.state_dict()) == set(tensors)


def test_a_folder_is_carried_only_where_the_architecture_is_ours_and_stands_in_it(tmp_path: Path) -> None:
    for document, found in ((PERCEPTRON, "architecture.json"), (BERT, None)):
        folder = tmp_path / str(found)
        declare(document, tensors_of(document)[1], folder)
        assert torch_file(folder) == (None if found is None else folder / found)


def test_tensors_that_do_not_fit_are_listed(tmp_path: Path) -> None:
    _, tensors = tensors_of(BERT)
    tensors["encoder.layer.0.output.dense.bias"] = torch.zeros(5)
    tensors["something.else"] = torch.zeros(2)
    del tensors["embeddings.LayerNorm.weight"]
    with pytest.raises(EngineError) as refused, carried(declare(BERT, tensors, tmp_path / "model")):
        pass
    assert refused.value.code == "architecture_does_not_fit"
    for part in (
        "missing: embeddings.LayerNorm.weight",
        "unknown: something.else",
        "output.dense.bias (5,) instead of (16,)",
    ):
        assert part in refused.value.message


@pytest.mark.parametrize(
    "document",
    [
        {"model_type": "llama"}, {"model_type": ["bert"]}, BERT | {"num_attention_heads": 5}, BERT | {"vocab_size": -1},
        BERT | {"hidden_act": "__import__"}, BERT | {"position_embedding_type": "relative_key"}, PERCEPTRON | {"widths": [4]},
        PERCEPTRON | {"code": "x"}, RESIDUAL | {"blocks": [[4, 7]]}, PERCEPTRON | {"input": "a b"},
        PERCEPTRON | {"architecture": "transformer"},
    ],
)  # fmt: skip
def test_a_document_that_declares_nothing_known_is_refused(document: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(FileRefused) as refused, carried(declare(document, {"a": torch.zeros(1)}, tmp_path / "model")):
        pass
    assert refused.value.code == "architecture_invalid"


@pytest.mark.parametrize(
    ("document", "code"),
    [
        (BERT | {"num_hidden_layers": 10**6}, "architecture_invalid"),
        (RESIDUAL | {"height": 10**6, "width": 10**6}, "architecture_invalid"),
        (BERT | {"vocab_size": 10**6, "hidden_size": 10**6}, "architecture_does_not_fit"),
        (PERCEPTRON | {"widths": [10**6] * 200}, "architecture_does_not_fit"),
    ],
)
def test_sizes_that_no_tensor_has_take_no_room(document: dict[str, Any], code: str, tmp_path: Path) -> None:
    with pytest.raises(EngineError) as refused, carried(declare(document, {"a": torch.zeros(1)}, tmp_path / "model")):
        pass
    assert refused.value.code == code


def test_a_document_with_a_member_twice_is_refused_and_so_are_integers_for_weights(tmp_path: Path) -> None:
    path = declare(PERCEPTRON, {"a": torch.zeros(1, dtype=torch.int32)}, tmp_path / "model")
    text = path.read_text()
    path.write_text(text.replace("{", '{"widths": [4, 2], ', 1))
    with pytest.raises(FileRefused, match="'widths' stands twice"), carried(path):
        pass
    tensors = {name: value.to(torch.int32) for name, value in tensors_of(PERCEPTRON)[1].items()}
    with (
        pytest.raises(EngineError, match=r"no floats: .*torch\.int32"),
        carried(declare(PERCEPTRON, tensors, tmp_path / "other")),
    ):
        pass


@pytest.mark.long
@pytest.mark.parametrize("kind", ["bert", "bert-classes", "distilbert", "distilbert-classes"])
@pytest.mark.parametrize("saved_as", ["bare", "with-prefix"])
def test_what_is_carried_answers_as_the_package_transformers_does(kind: str, saved_as: str, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    base = {"bert": ("Bert", BERT), "distilbert": ("DistilBert", DISTILBERT)}[kind.split("-")[0]]
    classes = kind.endswith("classes")
    if saved_as == "bare" and classes:
        pytest.skip("a classifier's tensors always have a prefix")
    config = getattr(transformers, f"{base[0]}Config")(**base[1], num_labels=3, attn_implementation="eager")
    torch.manual_seed(2)
    whole = getattr(transformers, f"{base[0]}{'ForSequenceClassification' if classes else 'Model'}")(config).eval()
    prefix = f"{base[0].lower()}." if saved_as == "with-prefix" and not classes else ""
    tensors = {f"{prefix}{name}": one.clone() for name, one in whole.state_dict().items()}
    document = base[1] | ({"id2label": {str(one): str(one) for one in range(3)}} if classes else {})
    ids = np.array([[1, 5, 7, 0], [3, 9, 2, 8]])
    feed = {"input_ids": ids, "attention_mask": (ids > 0).astype(np.int64)}
    if base[0] == "Bert":
        feed["token_type_ids"] = np.array([[0, 0, 1, 1], [0, 1, 1, 1]])
    with torch.no_grad():
        theirs = whole(**{name: torch.from_numpy(value) for name, value in feed.items()})
    with carried(declare(document, tensors, tmp_path / "model")) as door:
        assert door is not None
        np.testing.assert_allclose(answers(door.path, feed)[:, 0], theirs[0].numpy()[:, 0], atol=1e-5)


def test_our_own_nets_have_the_names_that_the_document_says() -> None:
    assert set(Perceptron([4, 3, 2], "relu").state_dict()) == {
        f"layers.{n}.{p}" for n in (0, 1) for p in ("weight", "bias")
    }
    assert "blocks.1.shortcut.weight" in Residual(1, 4, [[4, 1], [8, 2]], 3).state_dict()


def test_a_config_is_carried_in_a_process_that_has_made_no_module_yet(tmp_path: Path) -> None:
    path = declare(BERT, tensors_of(BERT)[1], tmp_path / "model")
    code = (
        "import sys; from pathlib import Path; from compression_engine.carrying.door import carried\n"
        "with carried(Path(sys.argv[1])) as door: print(door.record['path'])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "model.safetensors", done.stderr
