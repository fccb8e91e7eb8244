"""What a worker does with a shard. Each builds its model once; the next one goes on with what a lost one left."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import torch

from traqpoint.distributed.place import Place, local_copy
from traqpoint.distributed.shards import Shard, open_collection
from traqpoint.errors import TraqPointError
from traqpoint.files import locked
from traqpoint.inference.config import ExtractorConfig, FlowConfig, MatchFlowConfig
from traqpoint.inference.pipeline import Outcome, extract_into, match_into
from traqpoint.io.hloc import HlocFeatures, HlocMatches
from traqpoint.matching.config import MatcherConfig
from traqpoint.matching.run import build_matcher

Result = dict[str, Any]
"""done, failed: names; told: lines about these; error: why the shard could not be written, or ""."""


class ExtractShard:
    """Images -> a shard of features."""

    def __init__(self, out: str, make_extractor: Callable[[], Any], cores: int = 1) -> None:
        """make_extractor: what `extract_folder` takes, made here."""
        torch.set_num_threads(cores)
        self.place, self.extractor = Place(out), make_extractor()

    def __call__(self, shard: Shard) -> Result:
        def work(path: Path) -> Result:
            failed: dict[str, str] = {}
            with ExitStack() as copies, closing(HlocFeatures(path, "a")) as store:
                images = {}
                for name, source in shard.items:
                    try:
                        images[name] = copies.enter_context(local_copy(source))
                    except OSError as error:
                        failed[name] = f"{source}: cannot be fetched ({error.strerror or error})"
                outcome = extract_into(store, images, self.extractor, flow=FlowConfig(workers=1)) if images else None
            return _result([name for name, _ in shard.items], outcome, failed)

        return _written(self.place, shard, work)


class MatchShard:
    """Pairs -> a shard of matches."""

    def __init__(self, out: str, features: str, matcher: MatcherConfig, device: str, cores: int = 1) -> None:
        """features: what `open_collection` takes, and this worker sees."""
        torch.set_num_threads(cores)
        self.place, self.device = Place(out), device
        self.features, self.matcher = open_collection(features), build_matcher(matcher)

    def __call__(self, shard: Shard) -> Result:
        def work(path: Path) -> Result:
            with closing(HlocMatches(path, "a")) as store:
                pairs = [(a, b) for a, b in shard.items]
                flow = MatchFlowConfig(workers=1)
                outcome = match_into(store, self.features, pairs, self.matcher, self.device, flow=flow)
            return _result([" ".join(pair) for pair in shard.items], outcome, {})

        return _written(self.place, shard, work)


def extractor_of(options: dict[str, Any]) -> Any:
    """An Extractor, in the process that this is called in. options: of ExtractorConfig."""
    from traqpoint.inference.extractor import Extractor

    return Extractor(**options)


def described(config: ExtractorConfig) -> dict[str, Any]:
    """What `inference.settings.describe_extractor` says of the extractor that a worker will make."""
    from dataclasses import asdict

    from traqpoint.inference.settings import describe_extractor

    return describe_extractor(extractor_of({**asdict(config), "device": "cpu"}))


def _result(keys: list[str], outcome: Outcome | None, failed: dict[str, str]) -> Result:
    done = {*outcome.done, *outcome.skipped} if outcome is not None else set[str]()
    told = [*failed.values(), *(outcome.failed if outcome is not None else ())]
    return {
        "done": [key for key in keys if key in done],
        "failed": [key for key in keys if key not in done],
        "told": told,
    }


def _written(place: Place, shard: Shard, work: Callable[[Path], Result]) -> Result:
    """The result, after the shard and its list are in their place; an error is a result too, so that others go on."""
    try:
        with place.file(f"{shard.stem}.h5") as path, locked(path):
            result = work(path)
        place.write(f"{shard.stem}.json", json.dumps({key: result[key] for key in ("done", "failed")}))
        return {**result, "error": ""}
    except (TraqPointError, OSError) as error:
        reason = " ".join(str(error).split())
        return {"done": [], "failed": [], "told": [], "error": f"{place.folder}: {shard.stem}: {reason}"}
