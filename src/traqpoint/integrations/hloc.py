"""Our extractor among hloc's: `install` once, then hloc's own ``extract_features`` knows ``traqpoint``.

The contract is hloc 1.5's (``hloc/utils/base_model.py``): a class with default_conf and required_inputs, which hloc
calls _init(conf) and _forward(data) of. Without hloc, ``traqpoint extract`` writes the same file.
"""

from __future__ import annotations

import sys
from typing import Any, ClassVar

from torch import Tensor

from traqpoint import optional
from traqpoint.geometry.pixels import opencv_from_colmap
from traqpoint.inference.extractor import Extractor

NAME = "traqpoint"
"""What hloc's configurations call the model."""
CONF = {
    "output": "feats-traqpoint-s-n2048-r1600",
    "model": {"name": NAME, "weights": "traqpoint-s", "max_keypoints": 2048},
    "preprocessing": {"grayscale": False, "resize_max": 1600},
}
"""A configuration for ``hloc.extract_features.main``, with the sizes that `Extractor` has by default."""


class HlocModel:
    """What hloc asks of an extractor. Options in conf are `ExtractorConfig`'s; unknown ones raise ConfigError."""

    default_conf: ClassVar[dict[str, Any]] = {"weights": "traqpoint-s", "max_keypoints": 2048, "long_side": None}
    required_inputs: ClassVar[list[str]] = ["image"]
    detection_noise = 1.0
    """Standard deviation of keypoints, in pixels of the image given: hloc writes it beside them."""

    def _init(self, conf: dict[str, Any]) -> None:
        self.extractor = Extractor(**{key: value for key, value in conf.items() if key != "name"})

    def _forward(self, data: dict[str, Tensor]) -> dict[str, Tensor]:
        """image (1, 3, H, W) or (1, 1, H, W) in [0, 1] -> keypoints (1, N, 2) with integer centres, scores (1, N),
        descriptors (1, D, N)."""
        (image,) = data["image"].expand(-1, 3, -1, -1)
        found = self.extractor(image)
        out = {
            "keypoints": opencv_from_colmap(found.keypoints)[None],
            "scores": found.scores[None],
            "descriptors": found.descriptors.T[None],
        }
        return {key: value.to(image.device) for key, value in out.items()}


def install() -> None:
    """Make hloc know us: ``hloc.extractors.traqpoint``, which its dynamic_load finds by a configuration's name, and
    ``hloc.extract_features.confs["traqpoint"]``, which its command line lists. Twice is as good as once.

    Raises ImportError if hloc, or what its extraction needs, is not installed.
    """
    base = optional.load("hloc.utils.base_model").BaseModel
    confs = optional.load("hloc.extract_features").confs
    module = type(sys)(f"hloc.extractors.{NAME}", HlocModel.__doc__)
    # hloc takes the one class that says that it comes from this very module.
    module.TraqPoint = type(base)("TraqPoint", (HlocModel, base), {"__module__": module.__name__})  # type: ignore[attr-defined]
    sys.modules[module.__name__] = module
    confs[NAME] = CONF
