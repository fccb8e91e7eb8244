"""What is wrong with an image, out of a database and the models."""

from contextlib import closing
from dataclasses import replace

import pytest
import torch

pycolmap = pytest.importorskip("pycolmap")

from traqpoint.sfm.config import MappingConfig  # noqa: E402
from traqpoint.sfm.diagnosis import diagnose  # noqa: E402
from traqpoint.sfm.verification import build_database  # noqa: E402


@pytest.fixture
def built(tmp_path, exact_scene):
    """The database of the exact scene, and its true model without the last two images."""
    features, matches = exact_scene.predictions.features, exact_scene.predictions.matches
    path = tmp_path / "database.db"
    build_database(exact_scene.images, features, matches, exact_scene.pairs, path, MappingConfig(num_threads=1))
    inside = dict(list(exact_scene.truth.images.items())[:-2])
    return path, replace(exact_scene.truth, images=inside)


def test_every_image_counts_its_own_pairs_and_who_is_missing_is_told_why(built, exact_scene):
    path, model = built
    *inside, alone, unreadable = exact_scene.images
    with closing(pycolmap.Database.open(path)) as db:
        ids = {image.name: image.image_id for image in db.read_all_images()}
        for pair in exact_scene.pairs:
            if alone in pair:
                db.delete_two_view_geometry(*(ids[name] for name in pair))
    found = diagnose([*exact_scene.images, "new.jpg"], path, [model], {unreadable: "not an image"})
    told = {image.name: image for image in found.images}
    assert len(found.pairs) == len(exact_scene.pairs) == 36 and sum(pair.inliers > 0 for pair in found.pairs) == 28
    assert {told[name].pairs for name in inside} == {7} and (told[alone].pairs, told[alone].inliers) == (0, 0)
    assert all(told[name].inliers == max(p.inliers for p in found.pairs if name in (p.a, p.b)) for name in inside)
    assert not any(told[name].reason for name in inside) and told[unreadable].reason == "not an image"
    assert "fits no other image: 1" in told[alone].reason and "do not agree on a motion" in told[alone].reason
    assert told["new.jpg"].reason.startswith("only 0 keypoints")


def test_what_stands_out_is_told_beside_what_is_usual_in_the_model(built, exact_scene):
    path, model = built
    first, second, *_ = model.images
    moved = replace(model.images[first], xy=model.images[first].xy + 5)
    rare = torch.where(torch.arange(len(model.images[second].xy)) < 5, model.images[second].point3D, -1)
    images = model.images | {first: moved, second: replace(model.images[second], point3D=rare)}
    told = {image.name: image for image in diagnose(list(images), path, [replace(model, images=images)]).images}
    assert told[first].reason.startswith("high error: 7.07 px where 0.00 is usual")
    assert told[second].reason.startswith("few points: ") and "are usual" in told[second].reason
    nothing = diagnose(list(model.images), path, [])
    assert {image.reason for image in nothing.images} == {"fits 8 others, of which no model could be begun"}


def test_keypoints_of_an_image_are_read_once_and_not_for_each_of_its_pairs(built, exact_scene, monkeypatch):
    path, model = built
    opened, read = pycolmap.Database.open, []

    class Counting:
        def __init__(self, database):
            self.database = database

        def read_keypoints(self, image):
            read.append(image)
            return self.database.read_keypoints(image)

        def __getattr__(self, name):
            return getattr(self.database, name)

    monkeypatch.setattr(pycolmap.Database, "open", lambda path: Counting(opened(path)))
    diagnose(list(exact_scene.images), path, [model])
    assert len(read) == len(exact_scene.images)
