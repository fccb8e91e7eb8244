"""Extraction and matching between open stores, without files."""

import pytest
import torch

from traqpoint.errors import DataError
from traqpoint.image import write_image
from traqpoint.inference.pairs import exhaustive_pairs
from traqpoint.inference.pipeline import extract_folder, extract_into, match_into, match_pairs
from traqpoint.io.memory import MemoryFeatures, MemoryMatches
from traqpoint.io.stores import open_features, open_matches
from traqpoint.matching.mutual import match


@pytest.fixture
def photos(tmp_path, panning_frames):
    for i in range(3):
        write_image(tmp_path / f"photos/{i}.png", panning_frames[i])
    return tmp_path / "photos"


def test_memory_holds_what_files_would(tmp_path, photos, corner_extractor):
    features, matches = MemoryFeatures(), MemoryMatches()
    assert extract_into(features, photos, corner_extractor()).done == ("0.png", "1.png", "2.png")
    outcome = match_into(matches, features, exhaustive_pairs, match)
    assert len(outcome.done) == 3 and outcome.out is None and set(photos.parent.iterdir()) == {photos}
    out = extract_folder(photos, tmp_path / "f.h5", corner_extractor()).out
    written = open_matches(match_pairs(out, exhaustive_pairs, device="cpu").out)
    stored = open_features(out)
    for name in features.names():
        assert torch.equal(features.read(name).descriptors, stored.read(name).descriptors)
    assert torch.equal(matches.read("2.png", "0.png").indices, written.read("2.png", "0.png").indices)


def test_only_what_is_missing_is_made(photos, corner_extractor):
    features, matches = MemoryFeatures(), MemoryMatches()
    extract_into(features, photos / "0.png", corner_extractor())
    again = corner_extractor()
    assert extract_into(features, photos, again).skipped == ("0.png",) and again.calls == 2
    match_into(matches, features, [("0.png", "1.png")], match)
    outcome = match_into(matches, features, [("1.png", "0.png"), ("1.png", "2.png")], match)
    assert outcome.skipped == ("1.png 0.png",) and outcome.done == ("1.png 2.png",)


def test_bad_images_and_unknown_names_are_told(photos, corner_extractor):
    (photos / "bad.png").write_bytes(b"")
    features = MemoryFeatures()
    assert "bad.png" in extract_into(features, photos, corner_extractor()).failed[0]
    with pytest.raises(DataError, match="no features of 'zz'"):
        match_into(MemoryMatches(), features, [("0.png", "zz")], match)
    with pytest.raises(DataError, match="no features in there"):
        match_into(MemoryMatches(), MemoryFeatures(), exhaustive_pairs, match)
