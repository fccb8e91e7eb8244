"""Numbers that cannot lose their protocol: saved, loaded, compared, printed."""

from __future__ import annotations

import json
import math
import re
import textwrap
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from traqpoint.errors import ConfigError, FormatError
from traqpoint.files import atomic, plain, write_json

METHOD_FIELDS = frozenset({"extractor"})
"""Protocol fields that say which method it was: they may differ in a comparison."""


@dataclass(frozen=True)
class Result:
    """What a benchmark says of one method."""

    benchmark: str
    """The benchmark's kind: pose, homography, tracks, odometry, sfm, localization."""
    method: str
    """Label."""
    stats: dict[str, float]
    """Flat; the unit is in the key: auc_5, inliers, ate_m. NaN: undefined."""
    arrays: dict[str, np.ndarray]
    """Per pair, image or track, for plots and later metrics."""
    protocol: dict[str, Any]
    """dataset (name, number of items), estimator, thresholds, resize, top-k, matcher, seeds, versions."""
    notes: tuple[str, ...] = ()
    """Failures and omissions, in words with counts."""

    def save(self, path: Path) -> None:
        """Write `path` (.json) and the arrays beside it (.npz). The .json is complete or absent."""
        path.unlink(missing_ok=True)  # or old numbers would stand beside new arrays if we were killed in between
        content = {
            "benchmark": self.benchmark,
            "method": self.method,
            "stats": {key: _to_json(float(value)) for key, value in self.stats.items()},
            "protocol": plain(self.protocol),
            "notes": list(self.notes),
        }
        with atomic(path.with_suffix(".npz")) as partial:
            np.savez(partial, **self.arrays)  # type: ignore[arg-type]
        write_json(path, content, allow_nan=False)

    @classmethod
    def load(cls, path: Path) -> Result:
        """Read what `save` wrote. Raises FormatError naming the file and what is wrong with it."""
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            stats = {key: _from_json(value) for key, value in content["stats"].items()}
            fields = content["benchmark"], content["method"], content["protocol"], tuple(content["notes"])
        except FileNotFoundError:
            raise FormatError(f"{path}: no such file") from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise FormatError(f"{path}: not a result of traqpoint eval ({type(error).__name__}: {error})") from None
        arrays_path = path.with_suffix(".npz")
        try:
            with np.load(arrays_path, allow_pickle=False) as archive:
                arrays = {key: archive[key] for key in archive.files}
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise FormatError(f"{arrays_path}: the arrays of this result cannot be read ({error})") from None
        benchmark, method, protocol, notes = fields
        return cls(benchmark, method, stats, arrays, protocol, notes)


def _to_json(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


def _from_json(value: float | str) -> float:
    return float(value)


Table = Callable[[Sequence["Result"], Sequence[str] | None], str]
"""Makes text of results; of all numbers, or of those that are named."""


def compare(
    results: Sequence[Result],
    mix: bool = False,
    columns: Sequence[str] | None = None,
    table: Table | None = None,
) -> str:
    """A table of results of one benchmark, in Markdown if `table` does not say otherwise.

    Raises ConfigError naming the fields of the protocol that differ, with their values, unless `mix` is set.
    """
    if not results:
        raise ConfigError("there are no results to compare")
    kinds = sorted({result.benchmark for result in results})
    if len(kinds) > 1:
        raise ConfigError(f"results of different benchmarks cannot be compared: {', '.join(kinds)}")
    known = dict.fromkeys(key for result in results for key in result.stats)
    unknown = [key for key in columns or () if key not in known]
    if unknown:
        raise ConfigError(f"no result has {', '.join(unknown)}; there are {', '.join(known)}")
    different = protocol_differences(results)
    if different and not mix:
        raise ConfigError(f"the protocols differ, so the numbers cannot be compared: {'; '.join(different)}")
    return (table or markdown_table)(results, columns)


def protocol_differences(results: Sequence[Result]) -> list[str]:
    """One entry per protocol field that differs between methods: ``max_keypoints: 1000 (SIFT), 2048 (ORB)``."""
    flat = [_flatten({k: v for k, v in r.protocol.items() if k not in METHOD_FIELDS}) for r in results]
    out = []
    for key in dict.fromkeys(key for fields in flat for key in fields):
        methods: dict[str, list[str]] = {}
        for fields, result in zip(flat, results, strict=True):
            methods.setdefault(str(fields.get(key, "not stated")), []).append(result.method)
        if len(methods) > 1:
            out.append(f"{key}: " + ", ".join(f"{value} ({', '.join(names)})" for value, names in methods.items()))
    return out


def _flatten(value: Any, name: str = "") -> dict[str, Any]:
    if not isinstance(value, Mapping):
        return {name: plain(value)}
    out: dict[str, Any] = {}
    for key, item in value.items():
        out |= _flatten(item, f"{name}.{key}" if name else str(key))
    return out


_DIRECTIONS: tuple[tuple[str, int], ...] = (
    (r"_(std|low|high)$", 0),
    (r"fail|error|_(px|deg|m|cm|ms|percent)$|^(ate|rpe|drift)", -1),
    (r"auc|recall|precision|repeatab|complete|accuracy|inlier|correct|length|score|registered|survival|share", 1),
    (r"coverage|mma|_map|(^|_)points$|observations|long_tracks|within", 1),
)
"""Pattern of a metric's name -> 1 if more is better, -1 if less is, 0 neither; the first that fits counts."""


def direction(metric: str) -> int:
    """1 if more is better, -1 if less is, 0 if neither (keypoints, pairs)."""
    return next((sense for pattern, sense in _DIRECTIONS if re.search(pattern, metric)), 0)


def markdown_table(results: Sequence[Result], columns: Sequence[str] | None = None) -> str:
    """Title with data set and estimator, a row per method, the best value per column bold, protocol and notes below."""
    columns = columns or list(dict.fromkeys(key for result in results for key in result.stats))
    best = {key: _best(key, results) if len(results) > 1 else None for key in columns}
    lines = [f"**{_title(results)}**", "", f"| method | {' | '.join(columns)} |", "|---|" + "---:|" * len(columns)]
    for result in results:
        cells = (_cell(result.stats.get(key, math.nan), best[key]) for key in columns)
        lines.append(f"| {result.method} | {' | '.join(cells)} |")
    told, notes = _told(results)
    lines += ["", *told]
    return "\n".join([*lines, "", *notes] if notes else lines)


def text_table(results: Sequence[Result], columns: Sequence[str] | None = None, width: int = 80) -> str:
    """The same for a terminal of `width` characters: a row per number, a column per method, as many as fit side by
    side; * marks the best."""
    columns = columns or list(dict.fromkeys(key for result in results for key in result.stats))
    best = {key: _best(key, results) if len(results) > 1 else None for key in columns}
    first = max(map(len, columns), default=0)
    cells = [[result.method, *(_plain_cell(result, key, best[key]) for key in columns)] for result in results]
    widths = [max(map(len, column)) for column in cells]
    lines, start = [_title(results)], 0
    while start < len(results):
        stop = start + 1
        while stop < len(results) and first + sum(w + 2 for w in widths[start : stop + 1]) <= width:
            stop += 1
        lines.append("")
        for row, name in enumerate(["", *columns]):
            some = (cells[i][row].rjust(widths[i]) for i in range(start, stop))
            lines.append("  ".join([name.ljust(first), *some]).rstrip())
        start = stop
    told, notes = _told(results)
    wrapped = [textwrap.fill(line, width, subsequent_indent="  ") for line in (*told, *notes)]
    return "\n".join([*lines, "", *wrapped])


def _plain_cell(result: Result, key: str, best: float | None) -> str:
    text = _cell(result.stats.get(key, math.nan), best)
    return f"*{text.strip('*')}" if text.startswith("**") else text


def _told(results: Sequence[Result]) -> tuple[list[str], list[str]]:
    """Paragraphs on the protocol, and a line per note."""
    different = protocol_differences(results)
    lines = ["Protocols differ: " + "; ".join(different) + ".", ""] if different else []
    shared = {
        key: value
        for key, value in results[0].protocol.items()
        if key not in METHOD_FIELDS and all(result.protocol.get(key) == value for result in results)
    }
    given = [f"{key} {_words(value)}" for key, value in shared.items() if value is not None]
    lines.append(f"Protocol: {'; '.join(given)}.")
    return lines, [f"- {result.method}: {note}" for result in results for note in result.notes]


def _title(results: Sequence[Result]) -> str:
    parts = [results[0].benchmark]
    for key in ("dataset", "estimator"):
        values = list(dict.fromkeys(_heading(r.protocol[key]) for r in results if key in r.protocol))
        if values:
            parts.append(" / ".join(values))
    return " · ".join(parts)


def _heading(value: Any) -> str:
    """Of what has a name, that name and the first number after it; of anything else all."""
    if isinstance(value, Mapping) and "name" in value:
        count = next(({key: item} for key, item in value.items() if isinstance(item, int)), {})
        return _words({"name": value["name"], **count})
    return _words(value)


_NAMES = ("name", "method", "estimator")
"""Keys of a group of settings that say what the others are settings of."""


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        given = {key: _words(item) for key, item in value.items() if item is not None}
        name = given.pop(next((key for key in _NAMES if key in given), ""), "")
        rest = ", ".join(f"{key} {item}" for key, item in given.items())
        return f"{name} ({rest})" if name and rest else name or rest
    if isinstance(value, (list, tuple)):
        return " ".join(_words(item) for item in value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _best(key: str, results: Sequence[Result]) -> float | None:
    sense = direction(key)
    if sense < 0:  # errors are those of registered images: whoever leaves the difficult ones out is not best
        most = max(result.stats.get("registered", 0.0) for result in results)
        results = [result for result in results if result.stats.get("registered", 0.0) == most]
    values = [result.stats.get(key, math.nan) for result in results]
    finite = [value for value in values if math.isfinite(value)]
    if not sense or not finite:
        return None
    return max(finite) if sense > 0 else min(finite)


def _cell(value: float, best: float | None) -> str:
    if math.isnan(value):
        return "-"
    text = f"{value:.0f}" if abs(value) >= 1000 or value == round(value) else f"{value:.4g}"
    return f"**{text}**" if best is not None and value == best else text
