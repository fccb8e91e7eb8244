"""What hloc reads, read by hloc's own rules."""

import h5py
import numpy as np
import torch

from traqpoint.geometry.camera import Camera
from traqpoint.io.npz import NpzFeatures, NpzMatches
from traqpoint.sfm.hloc_export import export_hloc
from traqpoint.types import Features, Matches


def test_hloc_finds_features_matches_pairs_and_queries_under_its_names(tmp_path):
    features, matches = NpzFeatures(tmp_path / "features"), NpzMatches(tmp_path / "matches")
    for name, n in (("db/1.jpg", 4), ("db/2.jpg", 5), ("q/3.jpg", 6)):
        descriptors = torch.eye(6)[:n]
        features.write(name, Features(torch.full((n, 2), 7.5), torch.ones(n), descriptors, (64, 48)))
    found = Matches(torch.tensor([[2, 0], [3, 4]]), torch.tensor([0.5, 1.0]))
    matches.write("db/1.jpg", "db/2.jpg", found)
    matches.write("q/3.jpg", "db/1.jpg", found.__class__(found.indices.flip(1)[:1], found.scores[:1]))
    camera = Camera("SIMPLE_RADIAL", (64, 48), torch.tensor([50.0, 32, 24, 0.125]))
    queries = {"q/3.jpg": camera, "q/lost.jpg": camera}
    map_pairs = [("db/1.jpg", "db/2.jpg"), ("db/1.jpg", "db/lost.jpg")]
    for _ in range(2):  # a second export replaces the first
        out = export_hloc(tmp_path / "hloc", features, matches, map_pairs, [("q/3.jpg", "db/1.jpg")], queries)
    with h5py.File(out / "features.h5") as file:
        np.testing.assert_array_equal(file["db/1.jpg"]["keypoints"][()], np.full((4, 2), 7.0))
        assert file["q/3.jpg"]["descriptors"].shape == (6, 6) and "db/lost.jpg" not in file
    with h5py.File(out / "matches.h5") as file:
        assert file["db-1.jpg"]["db-2.jpg"]["matches0"][()].tolist() == [-1, -1, 0, 4]
        assert file["q-3.jpg"]["db-1.jpg"]["matches0"][()].tolist() == [2, -1, -1, -1, -1, -1]
    assert (out / "pairs-db.txt").read_text() == "db/1.jpg db/2.jpg\n"
    assert (out / "pairs-query.txt").read_text() == "q/3.jpg db/1.jpg\n"
    name, model, width, height, *params = (out / "queries_with_intrinsics.txt").read_text().split()
    assert (name, model, int(width), int(height)) == ("q/3.jpg", "SIMPLE_RADIAL", 64, 48)
    assert [float(value) for value in params] == [50, 32, 24, 0.125]
