"""`pressmark register-version TEAM/MODEL FOLDER`: upload every file, then register them as one version, also one made elsewhere."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from registry.cli.made_elsewhere import MadeElsewhere
from registry.cli.remote import add_server_arguments, client_of, show_progress, split_model
from registry.client import Client
from registry.digests import CanonicalError, check_paths
from registry.errors import Invalid

_WEIGHTS = {".onnx", ".safetensors", ".pt2"}
_ROLES = {"tokenizer": "tokenizer", "vocab": "tokenizer", "config": "configuration", "labels": "labels"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="TEAM/MODEL")
    parser.add_argument("folder", type=Path, help="a folder with the files of the version, or one file")
    parser.add_argument("--licence", required=True, metavar="SPDX")
    parser.add_argument("--training-data", choices=["complete", "incomplete", "unknown"], default="unknown")
    parser.add_argument("--data", action="append", default=[], metavar="TEAM/DATASET@N", help="what it was trained on")
    parser.add_argument("--base", action="append", default=[], metavar="TEAM/MODEL@N", help="what it was made from")
    parser.add_argument("--teacher", metavar="TEAM/MODEL@N", help="whose answers it learned")
    parser.add_argument("--student", metavar="TEAM/MODEL@N", help="what it began as, in the place of a base")
    parser.add_argument(
        "--result",
        type=Path,
        metavar="RESULT.json",
        help="what the engine wrote when it made this from --base elsewhere",
    )
    parser.add_argument("--role", action="append", default=[], metavar="PATH=ROLE", help="where the guess is wrong")
    parser.add_argument("--note", default="")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Upload and register; says the reference and the digest."""
    team, model = split_model(options.model)
    client, body = client_of(options), options_body(options)
    made, recipe, doubt = None, "", None
    if options.result is not None:
        made = MadeElsewhere(options.result)
        learned = learned_of(options)
        doubt = made.doubt(made.check(client, files_of(options.folder), options.base, options.data, learned))
        recipe = made.publish(client, team)
        rows = [edge for edge in body["edges"] if edge["role"] == "data"]
        body["edges"] = rows + made.edges(options.base[0], learned)
    version = register(client, team, model, options.folder, body, _chosen(options.role))
    print(f"{version['ref']}  {version['digest']}")
    if made is not None:
        again = made.command(version["ref"], recipe, options.data)
        print(f"Where it came from is declared; `{again}` shows it.")
        print(
            "Declared, too: no figure, curve or machine of the result is taken over; `pressmark evaluate` measures here."
        )
    if doubt is not None:
        print(doubt)
    return 0


def options_body(options: argparse.Namespace) -> dict[str, Any]:
    """Everything of the request but its files."""
    edges: list[dict[str, Any]] = [{"role": "data", "dataset_version": ref} for ref in options.data]
    edges += [{"role": "base", "parent": ref} for ref in options.base]
    edges += [{"role": role, "parent": ref} for role, ref in learned_of(options).items()]
    return {
        "licence": options.licence,
        "training_data": options.training_data,
        "note": options.note,
        "edges": edges,
    }


def learned_of(options: argparse.Namespace) -> dict[str, str]:
    """The versions that are named beside the base, by their role in the lineage."""
    named = {"teacher": options.teacher, "student-start": options.student}
    return {role: ref for role, ref in named.items() if ref is not None}


def register(
    client: Client, team: str, model: str, folder: Path, body: dict[str, Any], chosen: dict[str, str]
) -> dict[str, Any]:
    """Upload the files of a folder and register them as the next version."""
    files = []
    for path in files_of(folder):
        name = path.name if folder.is_file() else path.relative_to(folder).as_posix()
        upload = client.upload(path, lambda done, total, name=name: show_progress(done, total, name))  # type: ignore[misc]
        files.append({"path": name, "role": chosen.get(name) or role_of(name), "digest": upload["digest"]})
    version: dict[str, Any] = client.post(f"teams/{team}/models/{model}/versions", {**body, "files": files})
    return version


def files_of(folder: Path) -> list[Path]:
    """The file itself, or every file below the folder but hidden ones; Invalid, before any is sent, where they make no version."""
    if folder.is_file():
        return [folder]
    if not folder.is_dir():
        raise Invalid(f"There is no {folder}.", hint="Name the folder with the model's files.")
    shown = [p for p in sorted(folder.rglob("*")) if not p.name.startswith(".")]
    link = next((p for p in shown if p.is_symlink()), None)
    if link is not None:  # a folder that somebody else made could have any file of this machine sent
        raise Invalid(
            f"{link} is a link; what it leads to is not uploaded.",
            hint="Copy the folder with what its links lead to (cp -rL), look at it, and name the copy.",
        )
    found = [p for p in shown if p.is_file()]
    if not found:
        raise Invalid(f"{folder} holds no file.", hint="Name the folder with the model's files.")
    try:
        check_paths([p.relative_to(folder).as_posix() for p in found])
    except CanonicalError as error:
        raise Invalid(f"{folder} cannot be a version: {error}.", hint="Rename or leave out what is named.") from None
    return found


def role_of(name: str) -> str:
    """A guess from the name, as most exporters write them."""
    path = Path(name)
    if path.suffix in _WEIGHTS:
        return "weights"
    if path.suffix in {".data", ".bin"}:
        return "external_data"
    return next((role for begin, role in _ROLES.items() if path.name.startswith(begin)), "other")


def _chosen(pairs: list[str]) -> dict[str, str]:
    chosen = {}
    for pair in pairs:
        name, equals, role = pair.partition("=")
        if not equals:
            raise Invalid(f"--role {pair} is not PATH=ROLE.", hint="Write for example --role special.json=thresholds.")
        chosen[name] = role
    return chosen
