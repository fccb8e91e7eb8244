"""A matcher of one's own: mutual nearest neighbours that lie at most 40 pixels apart, for a camera that hardly moves.

traqpoint match FEATURES --matcher.method examples/own_matcher.py:build
"""

import traqpoint as tp


def build(config: tp.MatcherConfig):
    """What every verb with --matcher calls; `config` holds its other options."""

    def match(a: tp.Features, b: tp.Features) -> tp.Matches:
        found = tp.match(a, b, min_similarity=config.mutual.min_similarity)
        i, j = found.indices.unbind(1)
        near = (a.keypoints[i] - b.keypoints[j]).norm(dim=1) < 40
        return tp.Matches(found.indices[near], found.scores[near])

    return match
