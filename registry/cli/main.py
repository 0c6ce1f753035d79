"""`pressmark`: one command, its verbs in one table (`verbs`). What needs no Django starts without it."""

from __future__ import annotations

import argparse
import importlib
import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from importlib.metadata import version
from itertools import takewhile
from pathlib import Path

from registry.cli.refusals import explain
from registry.cli.verbs import GROUPS, VERBS, Verb
from registry.errors import Conflict


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pressmark",
        usage="pressmark [-h] [--version] VERB ...",
        description="A registry for compressed models that an auditor can trust without trusting us.",
        epilog=_every_verb(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"pressmark {version('pressmark')}")
    return parser


def _every_verb() -> str:
    """The verbs in their groups, each with what it is for, as wide as the terminal."""
    column = 2 + max(len(verb.name) for verb in VERBS) + 2
    width = max(shutil.get_terminal_size().columns - 2, column + 30)
    lines = []
    for title, verbs in GROUPS.items():
        lines += [title]
        for verb in verbs:
            opening = f"  {verb.name}".ljust(column)
            lines += textwrap.wrap(verb.about, width, initial_indent=opening, subsequent_indent=" " * column)
        lines += [""]
    return "\n".join([*lines, "`pressmark VERB --help` says what a verb takes."])


def _no_verb(words: Sequence[str]) -> int:
    """Help or version where they were asked for, else what is wrong with the call."""
    parser = _parser()
    if not words:
        parser.error("name a verb; `pressmark --help` lists them")
    if words[0].startswith("-"):
        parser.parse_args(words[:1])
        return 2
    near = get_close_matches(words[0], [verb.name for verb in VERBS], n=3)
    meant = f"did you mean {' or '.join(near)}?" if near else "`pressmark --help` lists them"
    parser.print_usage(sys.stderr)
    print(f"pressmark: there is no verb {words[0][:80]!r}; {meant}", file=sys.stderr)
    return 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; the exit status is the verb's."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    verb = next((v for v in VERBS if words and v.name == words[0]), None)
    if verb is None:
        return _no_verb(words)
    try:
        return _run(verb, words[1:])
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output has gone, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:
        return _refused(verb, error)


def _run(verb: Verb, words: Sequence[str]) -> int:
    if verb.needs_django:
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "registry.settings")
        import django  # noqa: PLC0415  keeps the start of the other verbs light
        from django.apps import apps  # noqa: PLC0415

        if not apps.ready:  # a second time it would bind the log to whatever stands for stderr at the moment
            django.setup()
    module = importlib.import_module(verb.module)
    parser = argparse.ArgumentParser(prog=f"pressmark {verb.name}", description=verb.about)
    module.add_arguments(parser)
    # what receipts are kept under: the verb and what it is about, without options, whose values may be anybody's words
    parser.set_defaults(said=" ".join([verb.name, *takewhile(lambda word: not word.startswith("-"), words)]))
    options = parser.parse_args(words)
    if verb.needs_installation:
        _demand_installation()
    act: Callable[[argparse.Namespace], int] = module.run
    return act(options)


def _demand_installation() -> None:
    """An empty home gets a plain word here, not a count of missing guards from an empty database."""
    from django.conf import settings  # noqa: PLC0415  only verbs that have Django started come here

    if not Path(settings.PRESSMARK_KEYS).is_dir():
        raise Conflict(
            f"{settings.PRESSMARK_HOME} is not set up.",
            hint="Run `pressmark init` once, or name the folder of your installation in PRESSMARK_HOME.",
        )


def _refused(verb: Verb, error: Exception) -> int:
    refusal = explain(error)
    if refusal is None:
        raise error
    print(f"pressmark {verb.name}: {refusal.detail}", file=sys.stderr)
    if refusal.hint:
        print(f"  what to do: {refusal.hint}", file=sys.stderr)
    for reason in refusal.reasons:
        print(f"  - {reason}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
