"""`pressmark`: one command, its verbs in one table. What needs no Django starts without it."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from registry.client import ApiError
from registry.errors import Problem


@dataclass(frozen=True)
class Verb:
    """One verb: what it is for, and the module whose `add_arguments` and `run` carry it out."""

    name: str
    module: str
    about: str
    needs_django: bool = True


VERBS = [
    Verb("init", "registry.cli.init", "set up an installation: secret, keys, database, ledger, first administrator"),
    Verb("serve", "registry.cli.serve", "run web server, worker and keeper together", needs_django=False),
    Verb("web", "registry.cli.web", "run the web server alone"),
    Verb("worker", "registry.cli.worker", "run the Celery worker alone"),
    Verb("keeper", "registry.cli.keeper", "run the keeper alone"),
    Verb("upgrade", "registry.cli.upgrade", "bring the database to this version, then compare it with the ledger"),
    Verb("check", "registry.cli.check", "say whether this installation is in order"),
    Verb("verify-ledger", "registry.cli.verify_ledger", "recompute the whole ledger and compare it with the tables"),
    Verb("verify", "registry.cli.verify", "check a bundle offline, as a stranger would", needs_django=False),
    Verb("demo", "registry.cli.demo", "run the main job on a real model", needs_django=False),
    Verb("login", "registry.cli.remote_login", "remember server and token for the verbs below", needs_django=False),
    Verb("register-model", "registry.cli.remote_register_model", "register a model on a server", needs_django=False),
    Verb(
        "register-version", "registry.cli.remote_register_version", "upload a folder as a version", needs_django=False
    ),
    Verb("compress", "registry.cli.remote_compress", "request a run on a server and watch it", needs_django=False),
    Verb("show", "registry.cli.remote_show", "show a version: TEAM/MODEL@NUMBER or @ALIAS", needs_django=False),
    Verb("pull", "registry.cli.remote_pull", "download a version, every file checked by digest", needs_django=False),
]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pressmark", description="A registry for compressed models that an auditor can trust without trusting us."
    )
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for verb in VERBS:
        verbs.add_parser(verb.name, help=verb.about, description=verb.about, add_help=False)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; the exit status is the verb's."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    verb = next((v for v in VERBS if words and v.name == words[0]), None)
    if verb is None:
        _parser().parse_args(words)
        return 2
    if verb.needs_django:
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "registry.settings")
        import django  # noqa: PLC0415  keeps the start of the other verbs light

        django.setup()
    module = importlib.import_module(verb.module)
    parser = argparse.ArgumentParser(prog=f"pressmark {verb.name}", description=verb.about)
    module.add_arguments(parser)
    options = parser.parse_args(words[1:])
    return _run(verb, module.run, options)


def _run(verb: Verb, act: Callable[[argparse.Namespace], int], options: argparse.Namespace) -> int:
    try:
        return act(options)
    except Problem as problem:
        return _refused(verb, problem.detail, problem.hint, problem.members.get("reasons", []))
    except ApiError as error:
        return _refused(verb, error.detail, error.hint, error.problem.get("reasons", []))
    except KeyboardInterrupt:
        return 130


def _refused(verb: Verb, detail: str, hint: str, reasons: Sequence[object]) -> int:
    print(f"pressmark {verb.name}: {detail}", file=sys.stderr)
    if hint:
        print(f"  what to do: {hint}", file=sys.stderr)
    for reason in reasons:
        print(f"  - {reason}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
