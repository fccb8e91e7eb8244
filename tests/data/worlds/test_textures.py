import pytest
import torch

from traqpoint.data.worlds.textures import Atlas, load_textures, procedural_textures
from traqpoint.errors import ConfigError, DataError
from traqpoint.image import write_image


def read(atlas, uv, footprint=0.0):
    u, v = torch.tensor(uv).unbind(-1)
    zero = torch.zeros_like(u)
    return atlas.sample(torch.zeros_like(u).long(), (u, v), torch.full_like(u, footprint), (zero, zero))


def test_texel_centres_are_read_exactly_and_mirrored_beyond_the_border():
    textures = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    atlas = Atlas(textures)
    centre = lambda i: (i + 0.5) / 8  # noqa: E731
    got = read(
        atlas, [[centre(2), centre(5)], [centre(-1), centre(0)], [centre(8), centre(3)], [centre(18), centre(1)]]
    )
    expected = torch.stack([textures[0, :, 5, 2], textures[0, :, 0, 0], textures[0, :, 3, 7], textures[0, :, 1, 2]])
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-6)


def test_a_footprint_of_the_whole_texture_reads_its_mean():
    textures = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    got = read(Atlas(textures), [[0.5, 0.5]], footprint=1.0)
    torch.testing.assert_close(got[0], textures[0].mean((1, 2)), rtol=0, atol=0.03)


def test_procedural_textures_are_seeded_distinct_and_rich():
    a, b = (procedural_textures(10, 64, torch.Generator().manual_seed(s)) for s in (1, 1))
    assert torch.equal(a, b)
    assert a.shape == (10, 3, 64, 64) and a.isfinite().all() and a.min() >= 0 and a.max() <= 1
    assert (a.flatten(1).std(1) > 0.02).all()
    assert torch.cdist(a.flatten(1), a.flatten(1))[~torch.eye(10, dtype=torch.bool)].min() > 1


def test_photos_become_square_textures_and_broken_files_are_passed_over(tmp_path):
    for i in range(3):
        write_image(tmp_path / f"{i}.png", torch.randint(0, 255, (20 + i, 40, 3), dtype=torch.uint8).numpy())
    (tmp_path / "broken.png").write_bytes(b"nothing")
    textures = load_textures(tmp_path, 10, 32, torch.Generator().manual_seed(0))
    assert textures.shape == (3, 3, 32, 32)
    assert load_textures(tmp_path, 2, 16, torch.Generator().manual_seed(0)).shape == (2, 3, 16, 16)


def test_a_folder_with_nothing_readable_is_an_error(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"nothing")
    with pytest.raises(DataError, match="no readable image"):
        load_textures(tmp_path, 2, 16, torch.Generator())


@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 3, 8, 9), (2, 1, 8, 8), (0, 3, 8, 8), (1, 3, 2, 2)])
def test_textures_of_another_shape_are_refused(shape):
    with pytest.raises(ConfigError, match="textures must be"):
        Atlas(torch.zeros(shape))
