"""Our base model against what the authors' network computes, with weights and image made of fixed random numbers.

parity_golden.npz holds their logits, every fourth channel of their descriptors, the norm over all channels, and their
matchability (eval mode, float32, CPU).
"""

import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from traqpoint.models.config import MODELS
from traqpoint.models.convert import AUTHORS, AUTHORS_SPARE
from traqpoint.models.traqpoint import TraqPoint
from traqpoint.tensors import file_names, fit

GOLDEN = Path(__file__).parent / "parity_golden.npz"


def weights(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    """Random numbers that depend on the tensor's name in the authors' checkpoint."""
    x = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode()))).standard_normal(shape, dtype=np.float32)
    leaf = name.rsplit(".", 1)[-1]
    if leaf == "num_batches_tracked":
        x = np.zeros(shape, np.int64)
    elif leaf == "running_var":
        x = 1 + 0.1 * np.abs(x)
    elif leaf == "running_mean":
        x = 0.1 * x
    elif leaf == "gamma":
        x = 0.1 * (1 + 0.1 * x)
    elif leaf == "bias":
        x = 0.5 * x
    elif x.ndim == 1:
        x = 1 + 0.1 * x
    else:
        x = x / np.sqrt(np.prod(shape[1:], dtype=np.float32))
    return torch.as_tensor(x)


@pytest.fixture(scope="module")
def model() -> TraqPoint:
    model = TraqPoint(MODELS["traqpoint-b"])
    tensors = model.state_dict()
    state = {name: weights(name, tuple(tensors[ours].shape)) for name, ours in file_names(model, AUTHORS).items()}
    for leaf in ("weight", "bias"):  # DINOv3's other name of its final norm, which nothing reads
        state[f"descriptor.backbone.0.dino.norm.{leaf}"] = torch.full((1024,), torch.pi)
    assert len(state) == 494
    fitting, comparison = fit(model, state, AUTHORS, AUTHORS_SPARE)
    assert not comparison
    model.load_state_dict(fitting)
    return model.eval()


@pytest.fixture(scope="module")
def image() -> torch.Tensor:
    return torch.from_numpy(np.random.Generator(np.random.PCG64(7)).random((1, 3, 96, 128), dtype=np.float32))


@pytest.mark.slow
@pytest.mark.parametrize("mode", [torch.no_grad, torch.enable_grad])
def test_every_output_equals_the_authors_to_one_in_ten_thousand(model, image, mode):
    with mode():
        out = model.dense(image)
    descriptors = out.descriptors.detach().numpy()
    ours = {
        "logits": out.logits.detach().numpy(),
        "descriptors_every_4th": descriptors[:, ::4],
        "descriptor_norms": np.linalg.norm(descriptors, axis=1),
        "matchability": out.matchability.detach().numpy(),
    }
    golden = np.load(GOLDEN)
    assert set(golden) == set(ours)
    for name, expected in golden.items():
        error = np.abs(ours[name] - expected)
        assert error.max() <= 1e-4 * np.abs(expected).max(), name
        assert (error <= 1e-4 * np.abs(expected) + 1e-5 * np.abs(expected).max()).all(), name


@pytest.mark.slow
def test_channels_last_as_the_extractor_runs_it_changes_nothing(model, image):
    with torch.inference_mode():
        plain = model.dense(image)
        laid_out = model.to(memory_format=torch.channels_last).dense(image.to(memory_format=torch.channels_last))
    for a, b in zip(plain, laid_out, strict=True):
        assert torch.allclose(a, b, rtol=1e-4, atol=1e-5 * float(a.abs().max()))
