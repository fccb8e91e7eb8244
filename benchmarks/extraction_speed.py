"""Extraction time against kornia's XFeat on the same image, CPU and run, interleaved.

    python benchmarks/extraction_speed.py --peers PEERS --out benchmarks/results/extraction_speed.json

PEERS: a folder with xfeat_folded.pth, and for --runtimes with xfeat_640x480.onnx, XFeat's network alone. Includes NMS,
top-k and descriptor sampling, not reading the file.
"""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
import tyro
from torch import Tensor

from traqpoint import optional
from traqpoint.data.worlds.textures import procedural_textures
from traqpoint.evaluation.methods.method import build_method
from traqpoint.files import write_json
from traqpoint.inference.extractor import Extractor
from traqpoint.models.config import MODELS, ModelConfig
from traqpoint.models.detect import detect
from traqpoint.models.traqpoint import TraqPoint
from traqpoint.models.weights import available
from traqpoint.types import Features


@dataclass(frozen=True)
class Options:
    """What to time."""

    peers: Path
    """Folder with the weights of other methods."""
    weights: tuple[str, ...] = ("traqpoint-s",)
    """Weights, or networks of models.config:MODELS without any: time does not ask what they have learned."""
    width: int = 640
    """Of the image in pixels."""
    height: int = 480
    """Of the image in pixels."""
    max_keypoints: int = 2048
    """Keypoints."""
    rounds: int = 7
    """Rounds; every method runs once in each, three times over."""
    threads: int = 1
    """CPU threads."""
    runtimes: tuple[str, ...] = ()
    """Besides PyTorch: backends, or backend:precision."""
    out: Path | None = None
    """Write the table with its protocol here, as JSON."""


def built(network: str | ModelConfig, max_keypoints: int, memory: str | None = None, **runtime: str) -> Extractor:
    """With weights of that name or path; else the network of that name, untrained, whose every maximum counts."""
    options = {"max_keypoints": max_keypoints, "long_side": None, "memory": memory, "device": "cpu", **runtime}
    if isinstance(network, str):
        if network in available() or network not in MODELS:
            return Extractor(network, **options)
        network = MODELS[network]
    torch.manual_seed(0)
    model = TraqPoint(network).train()
    model.dense(torch.rand(2, 3, 64, 64))  # give the running statistics something to hold
    return Extractor(model.eval(), prominence=0.0, **options)


def parts(name: str, image: Tensor, max_keypoints: int) -> dict[str, Callable[[], object]]:
    """The whole extraction of image (3, H, W), and what it consists of."""
    extractor = built(name, max_keypoints)
    model, size = extractor.model, (image.shape[-1], image.shape[-2])
    batch = image[None].contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        maps = model.descriptor.maps(batch)
        logits = model.logits(batch, maps)
        xy = extractor(image).keypoints[None]
    return {
        name: lambda: extractor(image),
        f"  {name}: maps": lambda: model.descriptor.maps(batch),
        f"  {name}: logits": lambda: model.logits(batch, maps),
        f"  {name}: detection": lambda: detect(logits, max_keypoints),
        f"  {name}: descriptors": lambda: model.descriptor.at(maps, xy, size),
    }


class XFeatGraph(torch.nn.Module):
    """XFeat's network in ONNX Runtime, in the place of kornia's: what is before and after it stays kornia's."""

    def __init__(self, path: Path, threads: int) -> None:
        super().__init__()
        onnxruntime = optional.load("onnxruntime")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """images (1, 3, 480, 640) -> features, keypoints' cells, reliability."""
        grey = images.mean(dim=1, keepdim=True)  # the file normalises
        return tuple(torch.from_numpy(found) for found in self.session.run(None, {"x": grey.numpy()}))


def in_runtimes(options: Options, image: Tensor) -> dict[str, Callable[[], object]]:
    """XFeat and ours in the other runtimes."""
    graph = build_method("XFeat", options.max_keypoints, peers=options.peers, device="cpu")
    graph.model.net = XFeatGraph(options.peers / "xfeat_640x480.onnx", options.threads)  # type: ignore[attr-defined]
    timed: dict[str, Callable[[], object]] = {"XFeat (ONNX Runtime, kornia behind it)": lambda: graph(image)}
    for name in options.weights:
        for runtime in options.runtimes:
            backend, _, precision = runtime.partition(":")
            extractor = built(name, options.max_keypoints, backend=backend, precision=precision or "float32")
            timed[f"{name} {backend} {extractor.config.precision}"] = partial(extractor, image)
    return timed


def main(options: Options) -> None:
    torch.set_num_threads(options.threads)
    side = max(options.width, options.height)
    image = procedural_textures(1, side, torch.Generator().manual_seed(0))[0, :, : options.height, : options.width]
    image = image.contiguous()
    xfeat = build_method("XFeat", options.max_keypoints, peers=options.peers, device="cpu")
    sift, orb = (build_method(name, options.max_keypoints) for name in ("SIFT", "ORB"))
    timed: dict[str, Callable[[], object]] = {"XFeat (kornia)": lambda: xfeat(image)}
    for name in options.weights:
        timed |= parts(name, image, options.max_keypoints)
    if options.runtimes:
        timed |= in_runtimes(options, image)
    timed |= {"SIFT (OpenCV)": lambda: sift(image), "ORB (OpenCV)": lambda: orb(image)}
    seconds: dict[str, list[float]] = {name: [] for name in timed}
    with torch.inference_mode():
        for _ in range(options.rounds):
            for name, run in timed.items():
                run()
                for _ in range(3):
                    began = time.perf_counter()
                    run()
                    seconds[name].append(time.perf_counter() - began)
    keypoints = {name: len(out) for name, run in timed.items() if isinstance(out := run(), Features)}
    base = statistics.median(seconds["XFeat (kornia)"])
    rows = {
        name: {
            "median_ms": 1e3 * statistics.median(s),
            "best_ms": 1e3 * min(s),
            "ratio": statistics.median(s) / base,
            "keypoints": keypoints.get(name),
        }
        for name, s in seconds.items()
    }
    print("| method | keypoints | median ms | best ms | median / XFeat |\n|---|---|---|---|---|")
    for name, row in rows.items():
        count = "" if row["keypoints"] is None else row["keypoints"]
        print(f"| {name} | {count} | {row['median_ms']:.1f} | {row['best_ms']:.1f} | {row['ratio']:.2f} |")
    if options.out is not None:
        protocol = {
            "image_size": [options.width, options.height],
            "max_keypoints": options.max_keypoints,
            "rounds": options.rounds,
            "threads": options.threads,
            "torch": torch.__version__,
            "hardware": platform.processor() or platform.machine(),
        }
        write_json(options.out, {"protocol": protocol, "rows": rows})


if __name__ == "__main__":
    main(tyro.cli(Options))
