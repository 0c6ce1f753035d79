"""The figures of a data profile with their sentences: the names by which a policy asks for them.

Shares are of rows and lie in 0..1; `column`, `class` and `against` stand as slices.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from compression_engine.measure.statistics.intervals import share_interval
from compression_engine.profiling.columns import ColumnFacts
from compression_engine.profiling.labels import Classes, LabelFacts
from compression_engine.profiling.rows import Overlap, Repeats
from compression_engine.profiling.table import Table
from compression_engine.result import Measurement

_EXACT = "a count of all rows has no interval"
_NO_LABEL = "no column of labels was named"
_CLASSES_SHOWN_MAX = 50


def row_figures(
    table: Table, facts: Sequence[ColumnFacts], outliers: NDArray[np.bool_], twice: Repeats
) -> list[Measurement]:
    """Figures that need no label and no other file."""
    n, width = len(table), max(1, len(facts))
    missing = sum(entry.missing for entry in facts)
    constant = sum(entry.constant for entry in facts)
    worst = max(facts, key=lambda entry: (entry.missing, entry.name), default=None)
    worst_share = 0.0 if worst is None else worst.missing / n
    judged = sum(entry.outliers is not None for entry in facts)
    found = [
        _count("rows", n, n, f"The file has {n:,} rows."),
        _count("broken_rows", table.broken_count, n, f"{table.broken_count:,} lines could not be read as rows."),
        _count("columns", len(facts), n, f"A row has {len(facts)} columns.", "column"),
        _count("constant_columns", constant, n, f"{constant} of {len(facts)} columns hold one value alone.", "column"),
        Measurement(
            "missing_share", missing / (n * width), "share", n * width,
            f"{missing:,} of {n * width:,} values are missing.", reason=_EXACT,
        ),
        Measurement(
            "missing_share_worst_column", worst_share, "share", n,
            f"The column with most gaps lacks a value in {_percent(worst_share)} of the rows.", reason=_EXACT,
        ),
        _share("duplicate_rows_share", twice.duplicates, n, "rows repeat an earlier one, value for value"),
        _share(
            "near_duplicate_rows_share", twice.near, n,
            "rows differ from an earlier one by less than half a percent in every number, or by case and spacing alone",
        ),
        _share(
            "outlier_rows_share", int(outliers.sum()), n,
            f"rows hold a value far from the rest of its column ({judged} of {len(facts)} columns could be judged)",
        ),
    ]  # fmt: skip
    if twice.duplicates_without is not None:
        found.append(_bare("duplicate_rows_share_without_identifiers", twice.duplicates_without, n, twice.identifiers))
    return found


def label_figures(
    table: Table, label: str, classes: Classes | None, twice: Repeats, doubted: LabelFacts
) -> list[Measurement]:
    """Figures about the labels."""
    n = len(table)
    gaps = int(table.columns[label].missing().sum())
    found = [_share("missing_label_share", gaps, n, "rows have no label")]
    found.append(
        _share(
            "conflicting_label_rows_share", twice.conflicting or 0, n,
            f"rows contradict a row that is the same but for its label, in {twice.conflict_groups} groups",
        )
    )  # fmt: skip
    found += _balance_figures(classes)
    found += _doubt_figures(doubted)
    return found


def _balance_figures(classes: Classes | None) -> list[Measurement]:
    if classes is None:
        why = "the labels are quantities, or more than 1,000 different ones"
        return [Measurement("smallest_class_share", None, "share", 0, f"There are no classes: {why}.", reason=why)]
    counts = np.bincount(classes.codes[classes.codes >= 0], minlength=len(classes.names))
    n = int(counts.sum())
    if not n:
        return []
    shares = counts / n
    present = shares[shares > 0]
    least, most = (classes.names[place] for place in (int(shares.argmin()), int(shares.argmax())))
    even = float(-(present * np.log(present)).sum() / np.log(len(counts))) if len(counts) > 1 else 0.0
    found = [
        _count("classes", len(counts), n, f"There are {len(counts)} classes.", "class"),
        _share("smallest_class_share", int(counts.min()), n, f"rows are of the rarest class, {least[:80]!r}"),
        _share("largest_class_share", int(counts.max()), n, f"rows are of the most frequent class, {most[:80]!r}"),
        Measurement(
            "class_evenness", even, "ratio", n,
            f"The classes are {_percent(even)} as evenly spread as they could be (entropy).", reason=_EXACT,
        ),
    ]  # fmt: skip
    for name, count in sorted(zip(classes.names, counts.tolist(), strict=True), key=lambda e: (e[1], e[0]))[
        :_CLASSES_SHOWN_MAX
    ]:
        entry = Measurement(
            "class_share", count / n, "share", n, f"{count:,} of {n:,} rows are of the class {name[:80]!r}.",
            reason=_EXACT, slice=(("class", name[:200].replace("\0", "")),),
        )  # fmt: skip
        found.append(entry)
    return found


def _doubt_figures(doubted: LabelFacts) -> list[Measurement]:
    if doubted.reason is not None:
        said = f"No label was doubted: {doubted.reason}."
        return [Measurement("suspected_label_errors_share", None, "share", 0, said, reason=doubted.reason)]
    n = doubted.looked_at
    low, high = share_interval(doubted.agreement, n)
    found = [
        _share("suspected_label_errors_share", doubted.suspected, n, "labels are probably wrong"),
        Measurement(
            "label_model_agreement", doubted.agreement / n, "share", n,
            f"The model that doubts them gives {doubted.agreement:,} of {n:,} rows the label that they have.",
            low=low, high=high,
        ),
    ]  # fmt: skip
    if doubted.planted:
        low, high = share_interval(doubted.planted_found, doubted.planted)
        hits = doubted.planted_found
        precise = hits / doubted.suspected_with_planted if doubted.suspected_with_planted else None
        found += [
            Measurement(
                "planted_errors_found_share", hits / doubted.planted, "share", doubted.planted,
                f"Of {doubted.planted} labels that were changed to try it, {hits} were suspected: about so many of the wrong "
                "ones are found.", low=low, high=high,
            ),
            Measurement(
                "planted_among_suspected_share", precise, "share", doubted.suspected_with_planted,
                f"{hits} of the {doubted.suspected_with_planted} labels suspected then were the changed ones; the others "
                "are right, or were wrong before.", reason=_EXACT if precise is not None else "no label was suspected",
            ),
        ]  # fmt: skip
    return found


def overlap_figures(n: int, others: Sequence[Overlap]) -> list[Measurement]:
    """Figures against other files, each by its digest, and against all of them the worst one."""
    found = []
    for other in others:
        where = (("against", other.digest),)
        found += [
            _share(
                "rows_seen_share", other.same, n, f"rows stand in the other file of {other.other_rows:,} rows", where
            ),
            _share("near_rows_seen_share", other.near, n, "rows differ from one there by a hair", where),
        ]
        if other.same_without is not None:
            found.append(_bare("rows_seen_share_without_identifiers", other.same_without, n, other.identifiers, where))
    if others:
        worst = max(other.same for other in others)
        found.append(_share("rows_seen_share_worst", worst, n, "rows stand in the file that shares most of them"))
    return found


def change_figures(
    n: int, before: int, added: int, removed: int, shifts: Sequence[tuple[str, float | None, str | None]]
) -> list[Measurement]:
    """Figures against the version before."""
    known = [(psi, name) for name, psi, _ in shifts if psi is not None]
    found = [
        _share("rows_added_share", added, n, "rows are new against the version before"),
        _share("rows_removed_share", removed, before, "rows of the version before are gone"),
    ]
    if known:
        psi, name = max(known)
        said = f"The column that moved most is {name[:80]!r}, with a stability index of {psi:.3f} (above 0.25 is much)."
        found.append(Measurement("shift_psi_worst", psi, "psi", n, said, reason=_EXACT))
    return found


def _count(metric: str, value: int, n: int, plain: str, unit: str = "row") -> Measurement:
    return Measurement(metric, value, unit, n, plain, reason=_EXACT)


def _share(metric: str, count: int, n: int, what: str, where: Sequence[tuple[str, str]] = ()) -> Measurement:
    value = count / n if n else None
    return Measurement(
        metric,
        value,
        "share",
        n,
        f"{count:,} of {n:,} {what}.",
        reason=_EXACT if n else "there are no rows",
        slice=where,
    )


def _bare(metric: str, count: int, n: int, names: Sequence[str], where: Sequence[tuple[str, str]] = ()) -> Measurement:
    """A share of rows that are the same but for columns that only name them; in tables of few values such rows come by chance."""
    shown = ", ".join(repr(name[:80]) for name in names[:5])
    what = "stand in the other file" if where else "repeat an earlier one"
    return _share(metric, count, n, f"rows {what} if {shown} is left out, which only tells rows or files apart", where)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
