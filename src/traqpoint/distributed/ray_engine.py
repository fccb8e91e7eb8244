"""The verbs on Ray Data: a pool of actors, each with its model, and shards as rows. Ray restarts what is lost."""

from __future__ import annotations

import json
import logging
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from traqpoint import optional
from traqpoint.distributed.config import EngineConfig
from traqpoint.distributed.place import Place, is_url, list_sources
from traqpoint.distributed.shards import Shard, claim_place, divided, open_collection
from traqpoint.distributed.workers import ExtractShard, MatchShard, Result, described, extractor_of
from traqpoint.errors import ConfigError, DataError
from traqpoint.files import locked, read_settings
from traqpoint.inference.config import ExtractorConfig, PairsConfig
from traqpoint.inference.pair_order import near_together
from traqpoint.inference.pairs import Collection, select_pairs
from traqpoint.inference.pipeline import Outcome
from traqpoint.inference.settings import settings_path
from traqpoint.matching.config import MatcherConfig
from traqpoint.progress import Progress

_PAIRS_PER_IMAGE = 8
"""In a shard: matching a pair takes about so much less time than extracting an image."""


def extract_shards(
    images: Sequence[str],
    out: str,
    extractor: ExtractorConfig,
    engine: EngineConfig,
    progress: Progress | None = None,
) -> Outcome:
    """As `extract_folder`, by many processes, into a folder of shards, which may be a URL of fsspec's.

    images: see `list_sources`. What is finished is kept, whatever ends the run, and skipped by the next one. Raises
    ConfigError if shards of other settings are there or no cluster answers, DataError if shards cannot be written.
    """
    named, place = list_sources(images), Place(out)
    config = {"verb": "extract", "format": "hloc", "extractor": described(extractor)}
    items = [(name, [name, source]) for name, source in named.items()]
    with _owned(place, config):
        shards, skipped = divided(items, place, engine.shard)
        make = partial(extractor_of, asdict(extractor))
        return _run(ExtractShard, (place.folder, make), shards, skipped, place, engine, extractor.device, progress)


def match_shards(
    features: str,
    pairs: PairsConfig,
    out: str,
    matcher: MatcherConfig,
    device: str,
    engine: EngineConfig,
    progress: Progress | None = None,
) -> Outcome:
    """As `match_pairs`, by many processes, into a folder of shards. features: a file or folder that all of them see.

    The rest as in `extract_shards`.
    """
    source = features if is_url(features) else os.path.abspath(features)
    store, place = open_collection(source), Place(out)
    settings = read_settings(settings_path(Path(source)))
    config = {"verb": "match", "matcher": matcher.described(), "features": settings}
    try:
        chosen = near_together(select_pairs(Collection(store.names(), store), pairs), _PAIRS_PER_IMAGE * engine.shard)
    finally:
        store.close()
    items = [(" ".join(pair), list(pair)) for pair in chosen]
    with _owned(place, config):
        shards, skipped = divided(items, place, _PAIRS_PER_IMAGE * engine.shard)
        arguments = (place.folder, source, matcher, "cpu" if device == "auto" else device)
        return _run(MatchShard, arguments, shards, skipped, place, engine, device, progress)


@contextmanager
def _owned(place: Place, config: dict[str, Any]) -> Iterator[None]:
    """One driver writes at a place; workers come and go. Nobody can lock a URL."""
    if is_url(place.folder):
        claim_place(place, config)
        yield
        return
    with locked(place.folder):
        claim_place(place, config)
        yield


def _run(
    worker: type,
    arguments: tuple[Any, ...],
    shards: Sequence[Shard],
    skipped: Sequence[str],
    place: Place,
    engine: EngineConfig,
    device: str,
    progress: Progress | None,
) -> Outcome:
    total, done, failed, told = sum(len(shard.items) for shard in shards), list[str](), list[str](), list[str]()
    if progress is not None:
        progress(0, total)
    for result in _on_ray(worker, arguments, shards, engine, device) if shards else ():
        if result["error"]:
            raise DataError(f"{result['error']}; what is finished is kept, run the same command to go on")
        done += result["done"]
        failed += result["failed"]
        told += result["told"]
        if progress is not None:
            progress(len(done) + len(failed), total)
    return Outcome(tuple(done), tuple(skipped), tuple(dict.fromkeys(told)), out=place.folder)


def _on_ray(
    worker: type, arguments: tuple[Any, ...], shards: Sequence[Shard], engine: EngineConfig, device: str
) -> Iterator[Result]:
    """Results as they come, in any order; the actors end with the iterator."""
    if engine.address is not None:
        _check_answers(engine.address)
    ray = optional.load("ray")
    optional.load("ray.data")
    ours = not ray.is_initialized()
    if ours:
        _connect(ray, engine)
    try:
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        on_gpu = device.startswith("cuda")
        count = engine.actors or max(1, int(ray.cluster_resources().get("GPU" if on_gpu else "CPU", 1)))
        rows = [{"stem": shard.stem, "items": json.dumps(shard.items)} for shard in shards]
        results = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
            _Row,
            fn_constructor_args=(worker, arguments),
            compute=ray.data.ActorPoolStrategy(size=min(count, len(rows))),
            **({"num_gpus": 1} if on_gpu else {"num_cpus": 1}),
        )
        for row in results.iter_rows():
            yield json.loads(row["result"])
    finally:
        if ours:
            ray.shutdown()


class _Row:
    """A worker behind rows of plain text, which cross any version of Arrow."""

    def __init__(self, worker: type, arguments: tuple[Any, ...]) -> None:
        self.worker = worker(*arguments)

    def __call__(self, row: dict[str, Any]) -> dict[str, str]:
        return {"result": json.dumps(self.worker(Shard(row["stem"], json.loads(row["items"]))))}


def _check_answers(address: str) -> None:
    """Raises ConfigError if nobody listens at host:port or ray://host:port: Ray itself would go on trying."""
    try:
        parts = urlsplit(address if "://" in address else f"//{address}")
        if parts.port is not None:
            socket.create_connection((parts.hostname or "", parts.port), timeout=10).close()
    except (OSError, ValueError) as error:
        raise ConfigError(f"{address}: no Ray cluster answers there ({error})") from None


def _connect(ray: Any, engine: EngineConfig) -> None:
    """Raises ConfigError if no cluster answers at the address."""
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    try:
        if engine.address is None:
            ray.init(num_cpus=engine.actors or os.cpu_count(), include_dashboard=False, **quiet)
        else:
            ray.init(address=engine.address, **quiet)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError, OSError) as error:
        where = engine.address or "this machine"
        raise ConfigError(f"{where}: no Ray cluster answers there ({' '.join(str(error).split())[:200]})") from None
