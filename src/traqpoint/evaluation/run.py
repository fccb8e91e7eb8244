"""One benchmark, many methods: resumable per method, with the table at the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from traqpoint._version import __version__
from traqpoint.errors import ConfigError
from traqpoint.evaluation.methods.method import Method, label
from traqpoint.evaluation.result import Result, markdown_table
from traqpoint.files import plain, read_settings, write_settings
from traqpoint.inference.settings import describe_extractor

Judge = Callable[[Method, Path], Result]
"""(method, folder for its predictions) -> Result."""


def run_methods(
    methods: Sequence[Method],
    out: Path,
    judge: Judge,
    progress: Callable[[int, int], None] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> list[Result]:
    """Judge each method in ``out/<label>``, keep its ``result.json`` there, and write ``out/table.md``.

    settings: everything besides the method that the numbers depend on. A finished method with the same settings is
    loaded, not judged again; without settings every method is judged anew from the predictions that are on disk.
    Raises ConfigError if two methods have the same label.
    """
    labels = [label(method) for method in methods]
    twice = next((name for name in labels if labels.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"two methods are called {twice}: evaluate them into two outputs, or rename a file")
    results = []
    for number, (name, method) in enumerate(zip(labels, methods, strict=True), start=1):
        results.append(_judged(method, out / name, judge, settings))
        if progress is not None:
            progress(number, len(methods))
    out.mkdir(parents=True, exist_ok=True)
    (out / "table.md").write_text(markdown_table(results) + "\n", encoding="utf-8")
    return results


def _judged(method: Method, folder: Path, judge: Judge, settings: Mapping[str, Any] | None) -> Result:
    path, settings_file = folder / "result.json", folder / "settings.yaml"
    config = {"extractor": describe_extractor(method), **(settings or {})}
    finished = read_settings(settings_file) == {"version": __version__, **plain(config)}
    if settings is not None and finished and path.is_file():
        return Result.load(path)
    result = judge(method, folder)
    settings_file.unlink(missing_ok=True)
    result.save(path)
    # Last: its presence says that the result is of these settings.
    write_settings(settings_file, config)
    return result
