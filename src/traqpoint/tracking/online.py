"""Tracks of a video, frame by frame; the time per frame does not grow with the frames behind, only the record does."""

from __future__ import annotations

import torch
from torch import Tensor

from traqpoint.matching.config import RobustConfig
from traqpoint.matching.mutual import mutual_matches, paired_descriptors
from traqpoint.matching.run import build_matcher
from traqpoint.matching.verify import estimate_fundamental
from traqpoint.tracking.config import TrackerConfig
from traqpoint.types import Features, Tracks

MIN_TO_VERIFY = 20
"""Matches, below which a motion can agree with most of them by chance."""
NEIGHBOURS, NEIGHBOUR_PX = 8, 16.0
"""Neighbours that vote, and the difference that is always borne: near things may pass before far ones."""
_MOTION = RobustConfig("opencv-magsac", threshold_px=2.0, max_iterations=2000)
"""Twice the usual threshold: points at the edge of a lens, which is not calibrated here, stay."""


class OnlineTracker:
    """Feed it the Features of one frame after the other; every keypoint continues a live track or starts one."""

    def __init__(self, config: TrackerConfig | None = None) -> None:
        self.config = config or TrackerConfig()
        self._matcher = build_matcher(self.config.matcher)
        self.num_frames = 0
        self._next_id = 0
        self._live: Features | None = None  # last sighting of each live track
        self._live_id = torch.empty(0, dtype=torch.long)
        self._live_frame = torch.empty(0, dtype=torch.long)
        self._seen: list[tuple[Tensor, Tensor]] = []  # per frame: track ids (N,), xy (N, 2), on the CPU

    def update(self, features: Features) -> Tensor:
        """Take in the next frame; returns the track id of each of its keypoints, (N,) int64 on the CPU.

        Mutual nearest neighbours are looked for among the pairs that `max_displacement` allows. Other matchers know no
        such limit: of their matches, those that break it are dropped.
        Raises FormatError if the descriptor dimension changes.
        """
        frame = self.num_frames
        ids = torch.full((len(features),), -1, dtype=torch.long)
        continued = torch.zeros(len(self._live_id), dtype=torch.bool)
        if self._live is not None:
            keypoint, live = self._match(features, self._live, frame)
            ids[keypoint] = self._live_id[live]
            continued[live] = True
        new = ids < 0
        ids[new] = torch.arange(self._next_id, self._next_id + int(new.sum()))
        self._next_id += int(new.sum())
        self._keep(features, ids, ~continued & (frame + 1 - self._live_frame <= self.config.max_gap))
        self._seen.append((ids, features.keypoints.detach().cpu().float()))
        self.num_frames += 1
        return ids

    def tracks(self, min_length: int = 2, since: int = 0) -> Tracks:
        """All tracks so far, dead ones included, with at least `min_length` observations, as `update` numbered them.

        since: leave out the observations of earlier frames (for drawing the end of a long video).
        """
        seen = self._seen[since:]
        sizes = torch.tensor([len(ids) for ids, _ in seen], dtype=torch.long)
        frame = torch.repeat_interleave(torch.arange(since, since + len(seen)), sizes)
        track_id = torch.cat([ids for ids, _ in seen] or [torch.empty(0, dtype=torch.long)])
        xy = torch.cat([xy for _, xy in seen] or [torch.empty(0, 2)])
        keypoint = torch.cat([torch.arange(n) for n in sizes.tolist()] or [torch.empty(0, dtype=torch.long)])
        order = track_id.argsort(stable=True)  # frames ascend already
        _, track, count = track_id[order].unique_consecutive(return_inverse=True, return_counts=True)
        order = order[count[track] >= min_length]
        return Tracks(frame[order], keypoint[order], track_id[order], xy[order], self.num_frames)

    def _match(self, features: Features, live: Features, frame: int) -> tuple[Tensor, Tensor]:
        a, b = paired_descriptors(features, live)
        limit = self.config.max_displacement
        reach = None if limit is None else limit * (frame - self._live_frame).to(a.device)
        xy, live_xy = features.keypoints.float(), live.keypoints.to(a.device).float()

        def similarity(start: int, stop: int) -> Tensor:
            values = a[start:stop] @ b.T
            if reach is None:
                return values
            # Not from the dot product: at 4000 px float32 would be off by pixels.
            far = torch.cdist(xy[start:stop], live_xy, compute_mode="donot_use_mm_for_euclid_dist") > reach
            return values.masked_fill(far, -torch.inf)

        if self.config.matcher.method == "mutual":
            found = mutual_matches(similarity, len(a), len(b), a.device, self.config.matcher.mutual)
            cosine = found.scores
        else:
            found = self._matcher(features, live.to(a.device))
            i, j = found.indices.unbind(1)
            cosine = (a[i] * b[j]).sum(-1)
            if reach is not None:
                cosine = cosine.masked_fill((xy[i] - live_xy[j]).norm(dim=-1) > reach[j], -torch.inf)
        row, column = found.indices[cosine >= self.config.min_similarity].cpu().unbind(1)
        if self.config.verify:
            track, seen = self._live_id[column], self._live_frame[column]
            agrees = self._of_one_motion(track, seen, live_xy.cpu()[column], xy.cpu()[row])
            row, column = row[agrees], column[agrees]
        return row, column

    def _of_one_motion(self, track: Tensor, frame: Tensor, before: Tensor, now: Tensor) -> Tensor:
        """(K,) bool: which tracks agree with a motion of the camera, from the pixels `before` (K, 2), in `frame`, to
        those of `now` (K, 2).

        Each earlier frame has a motion of its own, the last one first: most of what was last seen before that is
        wrong, and the tracks that went on through the frames since tell how the camera moved. A point moves about as
        its neighbours do: jumps along an epipolar line agree with any motion. Where fewer than MIN_TO_VERIFY, or less
        than half of them, agree, nothing can be told: all are kept.
        """
        kept = torch.ones(len(track), dtype=torch.bool)
        for earlier in frame.unique().flip(0).tolist():
            chosen = (frame == earlier).nonzero().flatten()
            later = (kept & (frame > earlier)).nonzero().flatten()
            through, back_then = self._seen_in(track[later], earlier)
            a, b = torch.cat([before[chosen], back_then]), torch.cat([now[chosen], now[later[through]]])
            if len(a) >= MIN_TO_VERIFY:
                inliers = _as_neighbours(a, b)
                inliers[inliers.clone()] = estimate_fundamental(a[inliers], b[inliers], _MOTION).inliers
                if int(inliers.sum()) >= len(a) / 2:
                    kept[chosen] = inliers[: len(chosen)]
        return kept

    def _seen_in(self, track: Tensor, frame: int) -> tuple[Tensor, Tensor]:
        """Which of the tracks (K,) were seen in a frame that has some, (L,) int64, and where, (L, 2)."""
        ids, xy = self._seen[frame]
        order = ids.argsort()
        place = order[torch.searchsorted(ids[order], track).clamp(max=len(ids) - 1)]
        there = (ids[place] == track).nonzero().flatten()
        return there, xy[place[there]]

    def _keep(self, features: Features, ids: Tensor, waiting: Tensor) -> None:
        now = torch.full((len(features),), self.num_frames, dtype=torch.long)
        live = self._live
        if live is not None:
            old = Features(
                live.keypoints[waiting], live.scores[waiting], live.descriptors[waiting], live.image_size
            ).to(features.keypoints.device)
            features = Features(
                torch.cat([old.keypoints, features.keypoints]),
                torch.cat([old.scores, features.scores]),
                torch.cat([old.descriptors, features.descriptors]),
                features.image_size,
            )
        self._live = features
        self._live_id = torch.cat([self._live_id[waiting], ids])
        self._live_frame = torch.cat([self._live_frame[waiting], now])


def _as_neighbours(before: Tensor, after: Tensor) -> Tensor:
    """(K,) bool: points (K, 2) whose motion differs from the median of their neighbours' by no more than that is long
    and NEIGHBOUR_PX."""
    motion = after - before
    near = torch.cdist(before, before).topk(min(len(before), NEIGHBOURS + 1), largest=False).indices
    usual = motion[near].median(dim=1).values
    return (motion - usual).norm(dim=-1) <= NEIGHBOUR_PX + usual.norm(dim=-1)
