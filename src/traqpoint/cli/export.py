"""``traqpoint export …``"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from traqpoint.cli.common import part
from traqpoint.export.config import ExportConfig


@dataclass(frozen=True, kw_only=True)
class Export(ExportConfig):
    """What every kind of file asks for."""

    out: Path
    """The file."""
    weights: str = "traqpoint-s"
    """Packaged name or path of a .safetensors file."""

    def options(self) -> dict:
        """The fields of the ExportConfig, by their names."""
        return asdict(part(self, ExportConfig))


@dataclass(frozen=True, kw_only=True)
class Onnx(Export):
    """Write the network as an ONNX file, for images of any size and number: docs/runtimes.md.

    full: images, max_keypoints, min_score -> keypoints, descriptors, scores. dense: images with sides of multiples of
    32 -> logits, descriptors. network: what `--network` of extract takes.
    """

    graph: Literal["full", "dense", "network"] = "full"
    """What the file computes."""

    def run(self) -> int:
        from traqpoint.export.onnx import export_onnx

        return _say(export_onnx(self.weights, self.out, graph=self.graph, **self.options()))


@dataclass(frozen=True, kw_only=True)
class OpenVino(Export):
    """Write the network as OpenVINO's NAME.xml and NAME.bin. Needs the extra openvino."""

    graph: Literal["full", "dense"] = "full"
    """What the file computes, see export onnx."""

    def run(self) -> int:
        from traqpoint.export.openvino import export_openvino

        print(f"{self.out}: {export_openvino(self.weights, self.out, graph=self.graph, **self.options())}")
        return 0


@dataclass(frozen=True, kw_only=True)
class Colmap(Export):
    """Write an ONNX file that COLMAP's ALIKED extractor runs, where COLMAP is built with ONNX: docs/runtimes.md."""

    def run(self) -> int:
        from traqpoint.export.onnx import export_onnx

        return _say(export_onnx(self.weights, self.out, graph="colmap", **self.options()))


def _say(path: Path) -> int:
    from traqpoint.inference.runtimes.graph import read_metadata

    print(f"{path}: {read_metadata(path)['traqpoint.parity']}")
    return 0
