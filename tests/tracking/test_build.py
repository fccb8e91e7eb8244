"""Tracks from pairwise matches: by hand, and against brute force."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from traqpoint.errors import FormatError
from traqpoint.tracking.build import build_tracks
from traqpoint.types import Features, Matches

pytestmark = pytest.mark.usefixtures("device")


def images(*counts: int) -> list[Features]:
    return [
        Features(torch.arange(2.0 * n).reshape(n, 2) + 1000 * i, torch.zeros(n), torch.zeros(n, 4), (5000, 5000))
        for i, n in enumerate(counts)
    ]


def matches(rows: list[tuple[int, int, float]]) -> Matches:
    return Matches(
        torch.tensor([r[:2] for r in rows], dtype=torch.long).reshape(-1, 2), torch.tensor([r[2] for r in rows])
    )


def as_sets(tracks) -> set[frozenset[tuple[int, int]]]:
    out: dict[int, set] = {}
    rows = torch.stack([tracks.frame, tracks.keypoint, tracks.track_id], dim=-1).tolist()
    for frame, keypoint, track in rows:
        out.setdefault(track, set()).add((frame, keypoint))
    return {frozenset(track) for track in out.values()}


def test_chains_through_images_are_joined():
    """0-1 and 1-2 make one track over three images; unmatched keypoints are in none; positions come along."""
    tracks = build_tracks(
        images(3, 3, 3), {(0, 1): matches([(0, 1, 1.0)]), (1, 2): matches([(1, 2, 1.0), (0, 0, 1.0)])}
    )
    assert tracks.num_frames == 3 and len(tracks) == 2
    assert tracks.track_id.tolist() == [0, 0, 0, 1, 1]
    assert tracks.frame.tolist() == [0, 1, 2, 1, 2]
    assert tracks.keypoint.tolist() == [0, 1, 2, 0, 0]
    assert tracks.xy.tolist() == [[0, 1], [1002, 1003], [2004, 2005], [1000, 1001], [2000, 2001]]


def test_the_best_matches_win_a_conflict():
    """Where two keypoints of image 0 meet in one component, the weakest link is refused, whatever its order."""
    tracks = build_tracks(
        images(2, 1, 1),
        {(0, 1): matches([(0, 0, 0.5)]), (0, 2): matches([(1, 0, 0.9)]), (1, 2): matches([(0, 0, 0.8)])},
    )
    assert as_sets(tracks) == {frozenset({(0, 1), (1, 0), (2, 0)})}


def test_equal_scores_go_by_pair_and_order():
    """With equal scores the earlier pair wins, so that the result never depends on chance."""
    tracks = build_tracks(
        images(2, 1, 1),
        {(1, 2): matches([(0, 0, 1.0)]), (0, 2): matches([(1, 0, 1.0)]), (0, 1): matches([(0, 0, 1.0)])},
    )
    assert as_sets(tracks) == {frozenset({(0, 0), (1, 0)}), frozenset({(0, 1), (2, 0)})}


def _by_brute_force(counts, edges):
    """Kruskal over everything, with sets."""
    group = {(i, k): {(i, k)} for i, n in enumerate(counts) for k in range(n)}
    for i, j, a, b, _ in sorted(edges, key=lambda e: -e[4]):
        first, second = group[i, a], group[j, b]
        if first is not second and not {x[0] for x in first} & {x[0] for x in second}:
            first |= second
            for node in second:
                group[node] = first
    return {frozenset(g) for g in group.values() if len(g) > 1}


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 5), st.integers(1, 6), st.integers(0, 60), st.integers(0, 10**6))
def test_equals_brute_force_and_never_repeats_an_image(num_images, num_keypoints, num_edges, seed):
    """Fast path and conflict path together are union-find by descending score over all matches."""
    generator = torch.Generator().manual_seed(seed)
    edges: dict[tuple[int, int], list[tuple[int, int, float]]] = {}
    scores = (torch.randperm(num_edges + 1, generator=generator).float() / (num_edges + 1)).tolist()
    for n in range(num_edges):
        i, j = torch.randperm(num_images, generator=generator)[:2].tolist()
        a, b = torch.randint(num_keypoints, (2,), generator=generator).tolist()
        edges.setdefault((i, j), []).append((a, b, scores[n]))
    tracks = build_tracks(images(*[num_keypoints] * num_images), {pair: matches(rows) for pair, rows in edges.items()})
    flat = [(i, j, *row) for (i, j), rows in edges.items() for row in rows]
    assert as_sets(tracks) == _by_brute_force([num_keypoints] * num_images, flat)
    key = tracks.track_id * num_images + tracks.frame
    assert key.numel() < 2 or bool((key.diff() > 0).all())  # sorted, no image twice in a track


def test_a_long_chain_is_one_track():
    """A point matched only between neighbours is followed over 500 images."""
    tracks = build_tracks(images(*[2] * 500), {(i, i + 1): matches([(i % 2, 1 - i % 2, 1.0)]) for i in range(499)})
    assert len(tracks) == 1 and tracks.frame.tolist() == list(range(500))


def test_nothing_in_nothing_out():
    """No images, no keypoints or no matches give an empty Tracks."""
    for features, pairs in (([], {}), (images(0, 0), {(0, 1): matches([])}), (images(3, 3), {})):
        tracks = build_tracks(features, pairs)
        assert len(tracks) == 0 and tracks.xy.shape == (0, 2) and tracks.num_frames == len(features)


@pytest.mark.parametrize(("pair", "row"), [((0, 2), (0, 0, 1.0)), ((1, 1), (0, 0, 1.0)), ((0, 1), (5, 0, 1.0))])
def test_matches_of_what_does_not_exist_are_refused(pair, row):
    """A pair or keypoint out of range raises FormatError naming the pair."""
    with pytest.raises(FormatError, match=rf"\({pair[0]}, {pair[1]}\)"):
        build_tracks(images(2, 2), {pair: matches([row])})
