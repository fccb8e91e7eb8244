import pytest
import torch

from traqpoint.models import deformable
from traqpoint.models.deformable import DeformableAttention, EncoderLayer, Reader, cell_centres, sine_positions

pytestmark = pytest.mark.usefixtures("device")

SHAPES = [(5, 7), (3, 4)]
S = sum(h * w for h, w in SHAPES)


def places(B=2, Q=6, heads=2, P=3, seed=0):
    """value, xy (some far outside) and weights."""
    g = torch.Generator().manual_seed(seed)
    value = torch.randn(B, S, heads, 4, generator=g)
    xy = torch.rand(B, Q, heads, len(SHAPES), P, 2, generator=g) * 14 - 3
    xy[0, 0, 0, 0, 0] = torch.tensor([1e9, -1e9])
    return value, xy, torch.rand(B, Q, heads, len(SHAPES), P, generator=g)


def by_hand(value, xy, weights):
    """The definition, sample by sample: a cell's value is at its centre, zero outside."""
    B, Q, heads, L, P, _ = xy.shape
    out = torch.zeros(B, Q, heads, value.shape[-1])
    for b, q, h, l, p in torch.cartesian_prod(*map(torch.arange, (B, Q, heads, L, P))).tolist():
        rows, columns = SHAPES[l]
        start = sum(r * c for r, c in SHAPES[:l])
        x, y = (xy[b, q, h, l, p] - 0.5).tolist()
        for i in range(rows):
            for j in range(columns):
                weight = max(0.0, 1 - abs(x - j)) * max(0.0, 1 - abs(y - i))
                out[b, q, h] += weight * weights[b, q, h, l, p] * value[b, start + i * columns + j, h]
    return out


@pytest.mark.parametrize("mode", [torch.no_grad, torch.enable_grad])
def test_a_reader_computes_the_definition_with_and_without_gradients(mode):
    value, xy, weights = places()
    with mode():
        assert torch.allclose(Reader(value, SHAPES)(xy, weights), by_hand(value, xy, weights), atol=1e-5)


def test_the_gradients_of_a_reader_are_those_of_finite_differences():
    value, xy, weights = places(B=1, Q=2, P=1)
    inputs = [t.double().requires_grad_() for t in (value, xy.clamp(-2, 9), weights)]
    assert torch.autograd.gradcheck(lambda v, x, w: Reader(v, SHAPES)(x, w), inputs)


def test_a_read_at_the_centre_of_a_cell_is_that_cell_on_every_level(device):
    value = torch.randn(1, S, 1, 4)
    for stride, (l, shape) in zip((4, 8), enumerate(SHAPES), strict=True):
        cells = cell_centres(shape, stride, device) / stride
        xy = torch.full((1, len(cells), 1, 2, 1, 2), -9.0)
        xy[0, :, 0, l, 0] = cells
        with torch.no_grad():
            read = Reader(value, SHAPES)(xy, torch.ones(1, len(cells), 1, 2, 1))
        start = sum(h * w for h, w in SHAPES[:l])
        assert torch.equal(read[0, :, 0], value[0, start : start + len(cells), 0])


def test_working_in_blocks_changes_no_number(monkeypatch, device):
    torch.manual_seed(0)
    layer = EncoderLayer(32, 64, 4, len(SHAPES), 2).eval().to(device)
    tokens, positions, cells = torch.randn(2, S, 32), torch.randn(S, 32), torch.rand(S, len(SHAPES), 2) * 5
    with torch.no_grad():
        whole = layer(tokens, positions, cells, SHAPES)
        monkeypatch.setattr(deformable, "_CPU_BLOCK", 7)
        assert torch.allclose(layer(tokens, positions, cells, SHAPES), whole, atol=1e-5)


def test_at_first_each_head_looks_another_way_and_each_point_a_cell_further(device):
    attention = DeformableAttention(32, heads=4, levels=2, points=3).to(device)
    offsets = attention.sampling_offsets.bias.view(4, 2, 3, 2)
    assert torch.allclose(offsets[0, 0], torch.tensor([[1.0, 0], [2, 0], [3, 0]]), atol=1e-6)
    assert torch.allclose(offsets[2], -offsets[0], atol=1e-6)


def test_a_place_has_the_same_position_code_on_every_level_and_image_size_scales_it_out():
    xy = torch.tensor([[16.0, 48.0]])
    code = sine_positions(xy, (64, 96), 32)
    assert code.shape == (1, 32)
    assert torch.allclose(code, sine_positions(2 * xy, (128, 192), 32))
    # y = 48 of 96 is half of a turn, x = 16 of 64 a quarter.
    assert torch.allclose(code[0, [0, 1, 16, 17]], torch.tensor([0.0, -1.0, 1.0, 0.0]), atol=1e-6)
