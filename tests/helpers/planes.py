"""Exact keypoints of a plane in two images."""

import torch

from traqpoint.types import Features, Matches

H = torch.tensor([[1.1, 0.08, -20.0], [-0.05, 0.93, 12.0], [2e-4, -1e-4, 1.0]], dtype=torch.float64)
SIZE = (320, 240)


def features(xy, image_size=SIZE):
    vectors = torch.zeros(len(xy), 4)
    vectors[:, 0] = 1
    return Features(xy.float(), torch.ones(len(xy)), vectors, image_size)


def one_to_one(count):
    index = torch.arange(count)
    return Matches(torch.stack([index, index], -1), torch.ones(count))


def keypoints(n=80):
    return torch.rand(n, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 180 + 30
