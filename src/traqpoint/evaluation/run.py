"""One benchmark, many methods: resumable per method and variant, with a table and pictures at the end."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from traqpoint._version import __version__
from traqpoint.errors import ConfigError, MissingDependencyError
from traqpoint.evaluation.benchmark import Benchmark
from traqpoint.evaluation.methods.method import Method, as_method, build_method, label
from traqpoint.evaluation.result import Result, markdown_table
from traqpoint.files import plain, read_settings, write_settings
from traqpoint.inference.settings import describe_extractor
from traqpoint.progress import Bar, Progress, no_bar


def run_benchmark(
    benchmark: Benchmark,
    methods: Sequence[str | Callable],
    out: Path | None = None,
    *,
    peers: Path | None = None,
    device: str = "auto",
    bar: Bar = no_bar,
    **ours: Any,
) -> dict[str, list[Result]]:
    """Judge every method: variant of the benchmark -> results of the methods in their order.

    methods: names as `build_method` takes them, an Extractor, or anything else that maps an image to Features (see
    `as_method`). out: a folder that gets ``predictions/<method>``, ``<variant>/<method>/result.json``,
    ``<variant>/table.md`` and pictures; what is finished there with the same settings is loaded, not judged again.
    None keeps all in memory. peers, device, ours: see `build_method`.
    Raises ConfigError for no methods, or two of the same label.
    """
    if not methods:
        raise ConfigError("at least one method is needed")
    limits = (benchmark.max_keypoints, benchmark.long_side)
    built = [
        build_method(m, *limits, peers, device, **ours) if isinstance(m, str) else as_method(m, *limits, device)
        for m in methods
    ]
    labels = [label(method) for method in built]
    twice = next((name for name in labels if labels.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"two methods are called {twice}: evaluate them into two outputs, or rename a file")
    tables: dict[str, list[Result]] = {variant: [] for variant in benchmark.variants()}
    for name, method in zip(labels, built, strict=True):
        with bar(name) as progress:
            for variant, result in _judged(benchmark, method, out, progress).items():
                tables[variant].append(result)
    if out is not None:
        for variant, results in tables.items():
            (out / variant / "table.md").write_text(markdown_table(results) + "\n", encoding="utf-8")
            try:
                benchmark.draw(results, out / variant, variant or out.name)
            except MissingDependencyError as error:  # numbers do not fail for want of matplotlib
                warnings.warn(f"no plot: {error}", stacklevel=2)
    return tables


def _judged(benchmark: Benchmark, method: Method, out: Path | None, progress: Progress) -> dict[str, Result]:
    """Results of one method by variant; nothing is predicted if all of them are there."""
    name, identity = label(method), describe_extractor(method)
    found, results = None, {}
    for variant in benchmark.variants():
        folder = None if out is None else out / variant / name
        settings = {"extractor": identity, **benchmark.settings(variant)}
        result = None if folder is None else _finished(folder, settings)
        if result is None:
            if found is None:
                found = benchmark.predict(method, None if out is None else out / "predictions" / name, progress)
            result = benchmark.score(found, variant, folder, progress)
            if folder is not None:
                _keep(result, folder, settings)
        results[variant] = result
    return results


def _finished(folder: Path, settings: dict[str, Any]) -> Result | None:
    path, expected = folder / "result.json", {"version": __version__, **plain(settings)}
    return Result.load(path) if path.is_file() and read_settings(folder / "settings.yaml") == expected else None


def _keep(result: Result, folder: Path, settings: dict[str, Any]) -> None:
    file = folder / "settings.yaml"
    file.unlink(missing_ok=True)
    result.save(folder / "result.json")
    # Last: its presence says that the result is of these settings.
    write_settings(file, settings)
