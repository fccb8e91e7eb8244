"""A part of a model: images that see the same."""

from dataclasses import replace

import pytest

pytest.importorskip("pycolmap")

from traqpoint.errors import ConfigError
from traqpoint.io.colmap_model import NO_POINT
from traqpoint.sfm.truth import neighbourhood


def test_the_neighbourhood_is_of_the_image_that_shares_most(exact_scene):
    """Of nine images that all see everything, three are blinded to all but a few points: they are chosen last."""
    images = dict(exact_scene.truth.images)
    blind = list(images)[:3]
    for name in blind:
        few = images[name].point3D.clone()
        few[5:] = NO_POINT
        images[name] = replace(images[name], point3D=few)
    model = replace(exact_scene.truth, images=images)
    chosen = neighbourhood(model, 6)
    assert list(chosen.images) == [name for name in images if name not in blind]
    assert len(chosen.xyz) == len(model.xyz)
    assert list(neighbourhood(model, 99).images) == list(images)
    with pytest.raises(ConfigError, match="limit must be at least 1"):
        neighbourhood(model, 0)
