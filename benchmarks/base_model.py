"""Time and memory of traqpoint-b on the CPU, by part, at 640×480 and 1600×1200.

    python benchmarks/base_model.py --threads 1 --out benchmarks/results/base_model.json

Each part runs in a process of its own: peak memory is what its resident set grew by, at most, over what it held before
the part ran (weights and inputs). CPU seconds, over all threads, hold on a busy machine too. Linux only. "encoder,
plain" is the same encoder with the usual deformable attention of Deformable DETR's repository: all samples of a level
at once by `grid_sample`, the levels stacked.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import torch
import torch.nn.functional as F
import tyro
from torch import Tensor

import traqpoint
from traqpoint.files import write_json
from traqpoint.models import deformable
from traqpoint.models.backbones import STRIDES, build_backbone
from traqpoint.models.config import MODELS, ModelConfig
from traqpoint.models.deformable_descriptor import DeformableDescriptor
from traqpoint.models.detector import PolicyNetwork
from traqpoint.models.layers import channels_last, fold_batch_norms
from traqpoint.models.traqpoint import TraqPoint

Network = TypeVar("Network", bound=torch.nn.Module)

PARTS = ("backbone", "encoder", "encoder, plain", "head", "policy", "all")


@dataclass(frozen=True)
class Options:
    """What to run."""

    sizes: tuple[str, ...] = ("640x480", "1600x1200")
    """WxH of the image."""
    threads: int = 1
    """CPU threads."""
    repeats: int = 3
    """Runs of each part; the fastest counts."""
    parts: tuple[str, ...] = PARTS
    """Which parts."""
    out: Path | None = None
    """Write the table with its protocol here, as JSON."""
    child: bool = False
    """Measure one part at one size and print it as JSON: what the benchmark starts itself with."""


class PlainReader:
    """The baseline: memory for every sample of every token, head, level and point."""

    def __init__(self, value: Tensor, shapes: Sequence[tuple[int, int]]) -> None:
        self.value, self.shapes = value, shapes

    def __call__(self, xy: Tensor, weights: Tensor) -> Tensor:
        B, Q, heads = xy.shape[:3]
        C = self.value.shape[-1]
        samples = []
        for l, level in enumerate(self.value.split([h * w for h, w in self.shapes], dim=1)):
            h, w = self.shapes[l]
            map = level.flatten(2).transpose(1, 2).reshape(B * heads, C, h, w)
            grid = 2 * xy[:, :, :, l] / xy.new_tensor((w, h)) - 1
            grid = grid.transpose(1, 2).flatten(0, 1)
            samples.append(F.grid_sample(map, grid, mode="bilinear", padding_mode="zeros", align_corners=False))
        weights = weights.transpose(1, 2).reshape(B * heads, 1, Q, -1)
        out = (torch.stack(samples, dim=-2).flatten(-2) * weights).sum(-1)
        return out.view(B, heads, C, Q).permute(0, 3, 1, 2)


def build(part: str, size: tuple[int, int]) -> Callable[[], object]:
    """The part as a function without arguments, its weights and inputs in memory."""
    torch.manual_seed(0)
    W, H = size
    image = torch.rand(1, 3, H, W).contiguous(memory_format=torch.channels_last)
    if part == "all":
        model = channels_last(TraqPoint(MODELS["traqpoint-b"]).folded())
        return lambda: model.dense(image)
    if part == "backbone":
        backbone = prepared(build_backbone("convnext-b"))
        return lambda: backbone(image)
    if part == "policy":
        policy = prepared(PolicyNetwork(align_corners=True))
        return lambda: policy(image)
    # The encoder and the head of the authors' descriptor, on the smallest backbone.
    net = prepared(DeformableDescriptor(ModelConfig("base", backbone="small", align_corners=True)))
    levels = [torch.randn(1, net.dim, -(-H // s), -(-W // s)) for s in STRIDES]
    levels = [level.contiguous(memory_format=torch.channels_last) for level in levels]
    if part == "head":
        return lambda: net.matchability_head(levels[0])
    # Places as scattered as learned ones: the initial offsets are the same for every token.
    for layer in net.encoder.layers:
        torch.nn.init.normal_(layer.self_attn.sampling_offsets.weight, std=0.1)
    if part == "encoder, plain":
        deformable.Reader = PlainReader  # type: ignore[misc, assignment]
        deformable._CPU_BLOCK = 1 << 62
    return lambda: net.encoder(levels, size)


def prepared(module: Network) -> Network:
    """As the extractor runs it."""
    fold_batch_norms(module.eval())
    return channels_last(module)


def memory_mb(field: str) -> float:
    """VmRSS (resident now) or VmHWM (the most since the last reset) of this process. Linux only."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) / 1024 for line in lines if line.startswith(f"{field}:"))


@torch.inference_mode()
def measure(part: str, size: tuple[int, int], repeats: int) -> dict[str, float]:
    run = build(part, size)
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak of building the network
    before, seconds, cpu_seconds = memory_mb("VmRSS"), [], []
    for _ in range(repeats):
        began, cpu_began = time.perf_counter(), time.process_time()
        run()
        seconds.append(time.perf_counter() - began)
        cpu_seconds.append(time.process_time() - cpu_began)
    return {"seconds": min(seconds), "cpu_seconds": min(cpu_seconds), "peak_mb": memory_mb("VmHWM") - before}


def main(options: Options) -> None:
    torch.set_num_threads(options.threads)
    if options.child:
        W, H = map(int, options.sizes[0].split("x"))
        print(json.dumps(measure(options.parts[0], (W, H), options.repeats)))
        return
    print(f"| {'part':<14} | {'size':<9} | seconds | CPU s | peak MB |\n|---|---|---|---|---|")
    rows = []
    for size in options.sizes:
        for part in options.parts:
            flags = ["--child", "--threads", str(options.threads), "--repeats", str(options.repeats)]
            command = [sys.executable, __file__, *flags, "--sizes", size, "--parts", part]
            result = subprocess.run(command, capture_output=True, text=True)
            if result.returncode:
                values = {"error": (result.stderr.strip().splitlines() or [f"exit code {result.returncode}"])[-1]}
                print(f"| {part:<14} | {size:<9} | {values['error']} |")
            else:
                values = json.loads(result.stdout)
                numbers = f"{values['seconds']:.2f} | {values['cpu_seconds']:.2f} | {values['peak_mb']:.0f}"
                print(f"| {part:<14} | {size:<9} | {numbers} |", flush=True)
            rows.append({"part": part, "size": size, **values})
    if options.out is not None:
        protocol = {
            **{key: value for key, value in asdict(options).items() if key not in ("child", "out")},
            "precision": "float32",
            "versions": {"traqpoint": traqpoint.__version__, "torch": torch.__version__},
            "hardware": f"{platform.machine()}, {options.threads} threads",
        }
        write_json(options.out, {"protocol": protocol, "rows": rows})


if __name__ == "__main__":
    main(tyro.cli(Options))
