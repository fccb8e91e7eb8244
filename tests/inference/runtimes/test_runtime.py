import pytest
import torch
from random_inputs import smooth_picture

from traqpoint.errors import ConfigError
from traqpoint.inference.extractor import Extractor
from traqpoint.models.traqpoint import TraqPoint

OWN = """
def build(model, config):
    def dense(images, sizes):
        maps = model.descriptor.maps(images, sizes)
        return maps, -model.logits(images, maps)

    return dense
"""


def test_a_runtime_of_ones_own_computes_what_keypoints_are_taken_from(tmp_path):
    file = tmp_path / "upside_down_runtime.py"
    file.write_text(OWN)
    torch.manual_seed(0)
    model, image = TraqPoint(), smooth_picture(64, 96)
    ours, own = (
        Extractor(model, prominence=0.0, device="cpu", backend=backend)(image) for backend in ("torch", f"{file}:build")
    )
    assert len(ours) > 10 and len(own) > 10
    assert torch.cdist(ours.keypoints, own.keypoints).min() > 0.5  # maxima became minima


def test_an_unknown_backend_is_refused_by_name():
    with pytest.raises(ConfigError, match="unknown backend 'tensorflow'"):
        Extractor(TraqPoint(), backend="tensorflow")
