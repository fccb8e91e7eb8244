"""How far networks see, and that images of other sizes in their batch are not seen."""

import pytest
import torch

from traqpoint.errors import ConfigError
from traqpoint.models.config import MODELS, ModelConfig
from traqpoint.models.ends import Ends, padded_together
from traqpoint.models.reach import reach
from traqpoint.models.traqpoint import TraqPoint

LOCAL = ("traqpoint-s", "traqpoint-t", "traqpoint-s-v1")


@pytest.mark.parametrize("name", LOCAL)
def test_what_lies_beyond_the_reach_changes_nothing_and_what_lies_within_does(name):
    """Everything to the right of a line is replaced: maps and logits are the same up to `reach` before it."""
    torch.manual_seed(0)
    model = TraqPoint(MODELS[name]).folded()
    far = reach(model)
    line = -(-far // 32) * 32 + 32
    image = torch.rand(1, 3, 64, line + 96)
    other = image.clone()
    other[..., line:] = torch.rand(1, 3, 64, 96)
    with torch.inference_mode():
        moments = model.descriptor.moments([image])
        given = () if moments is None else (None, moments)
        maps, changed = model.descriptor.maps(image, *given), model.descriptor.maps(other, *given)
        pairs = [*zip(maps, changed, strict=True), (model.logits(image, maps), model.logits(other, changed))]
    nearest = line
    for a, b in pairs:
        cell = image.shape[-1] // a.shape[-1]
        same = (a == b).flatten(0, 2).all(0)
        assert same[: (line - far) // cell].all()
        nearest = min(nearest, int((~same).nonzero()[0, 0]) * cell)
    assert line - nearest > far / 2


def test_networks_that_look_anywhere_have_no_reach():
    with pytest.raises(ConfigError, match="base/policy looks at whole images"):
        reach(TraqPoint(ModelConfig("base", backbone="small")).folded())


def ragged(name, respected):
    """Maps and logits of three images of different sizes: (alone, the same part of a batch) for each image and map."""
    torch.manual_seed(0)
    model = TraqPoint(MODELS[name]).folded()
    images = [torch.rand(3, *size) for size in ((96, 64), (60, 150), (120, 90))]
    sizes = [(image.shape[2], image.shape[1]) for image in images]
    canvas, ends = (160, 128), [(64, 96), (160, 64), (96, 128)]
    with torch.inference_mode(), Ends(ends if respected else [canvas] * 3, canvas):
        batch = padded_together(images, 32)
        assert batch.shape == (3, 3, 128, 160)
        maps = model.descriptor.maps(batch, sizes)
        together = (*maps, model.logits(batch, maps))
    for i, (w, h) in enumerate(ends):
        with torch.inference_mode():
            single = padded_together(images[i : i + 1], 32)
            maps = model.descriptor.maps(single, sizes[i : i + 1])
            alone = (*maps, model.logits(single, maps))
        for one, many in zip(alone, together, strict=True):
            assert one.shape[2:] == (h * many.shape[2] // 128, w * many.shape[3] // 160)
            yield one, many[i : i + 1, :, : one.shape[2], : one.shape[3]]


def close(pair) -> bool:
    one, many = pair
    return torch.allclose(one, many, atol=1e-4 * float(one.abs().max()))


@pytest.mark.parametrize("name", LOCAL)
def test_an_image_in_a_ragged_batch_has_the_maps_that_it_has_alone(name):
    """To the last pixel, and to the rounding of float32; without Ends there is another image at its lower right."""
    assert all(map(close, ragged(name, True)))
    assert not all(map(close, ragged(name, False)))
