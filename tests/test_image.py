import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from traqpoint import optional
from traqpoint.errors import DataError, ImageError, MissingDependencyError
from traqpoint.image import (
    expand_images,
    first_size,
    is_flat,
    list_images,
    pad_to_multiple,
    read_image,
    read_orientation,
    resize_long_side,
    shrunk,
    to_tensor,
    write_image,
)


def picture(height=24, width=32):
    """Smooth, unsymmetric, and different in each channel."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 / width, y * 255 / height, (x + y) * 127 / (width + height)], axis=-1).astype(np.uint8)


@pytest.mark.parametrize("suffix", [".png", ".ppm", ".tiff", ".bmp"])
def test_lossless_formats_come_back_bit_for_bit_in_rgb(tmp_path, suffix):
    write_image(tmp_path / f"a{suffix}", picture())
    assert np.array_equal(read_image(tmp_path / f"a{suffix}"), picture())
    assert np.array_equal(np.asarray(Image.open(tmp_path / f"a{suffix}").convert("RGB")), picture())


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_lossy_formats_come_back_nearly(tmp_path, suffix):
    write_image(tmp_path / f"a{suffix}", picture(64, 96))
    assert np.abs(read_image(tmp_path / f"a{suffix}").astype(int) - picture(64, 96)).mean() < 4


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_sixteen_bits_are_scaled_to_eight(tmp_path, suffix):
    cv2.imwrite(str(tmp_path / f"a{suffix}"), picture()[..., ::-1].astype(np.uint16) * 257)
    assert np.array_equal(read_image(tmp_path / f"a{suffix}"), picture())


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_grey_is_repeated(tmp_path, depth):
    grey = picture()[..., 0]
    cv2.imwrite(str(tmp_path / "a.png"), grey.astype(depth) * (257 if depth == np.uint16 else 1))
    assert np.array_equal(read_image(tmp_path / "a.png"), np.repeat(grey[..., None], 3, axis=2))


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_alpha_is_dropped_and_not_multiplied(tmp_path, depth):
    scale = 257 if depth == np.uint16 else 1
    alpha = np.full((24, 32, 1), 60)
    bgra = np.concatenate([picture()[..., ::-1], alpha], axis=-1).astype(depth) * scale
    cv2.imwrite(str(tmp_path / "a.png"), bgra)
    assert np.array_equal(read_image(tmp_path / "a.png"), picture())


def test_float_tiff_is_taken_as_0_to_1(tmp_path):
    lossless = [cv2.IMWRITE_TIFF_COMPRESSION, 1]
    cv2.imwrite(str(tmp_path / "a.tiff"), picture()[..., ::-1].astype(np.float32) / 255, lossless)
    assert np.array_equal(read_image(tmp_path / "a.tiff"), picture())


def test_palette_png_is_read_in_colour(tmp_path):
    flat = np.zeros((8, 8, 3), np.uint8)
    flat[:, 4:] = (200, 30, 60)
    Image.fromarray(flat).convert("P", palette=Image.Palette.ADAPTIVE).save(tmp_path / "a.png")
    assert np.array_equal(read_image(tmp_path / "a.png"), flat)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path, orientation):
    flips = [lambda a: a, np.fliplr, lambda a: np.rot90(a, 2), np.flipud, lambda a: a.transpose(1, 0, 2)]
    flips += [lambda a: np.rot90(a, -1), lambda a: np.rot90(a, 2).transpose(1, 0, 2), lambda a: np.rot90(a, 1)]
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(picture(64, 96)).save(tmp_path / "a.jpg", exif=exif, quality=98, subsampling=0)
    got = read_image(tmp_path / "a.jpg").astype(int)
    expected = flips[orientation - 1](picture(64, 96))
    assert got.shape == expected.shape
    assert np.abs(got - expected).mean() < 3


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".ppm", ".tiff", ".bmp", ".webp"])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
def test_a_truncated_file_is_an_error_that_names_it(tmp_path, suffix, share):
    noise = np.random.default_rng(0).integers(0, 255, (64, 96, 3), dtype=np.uint8)
    path = tmp_path / f"cut{suffix}"
    write_image(path, noise)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ImageError, match=rf"cut\{suffix}"):
        read_image(path)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_truncated_progressive_jpeg_is_an_error(tmp_path, share):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 96, 3), dtype=np.uint8))
    noise.save(tmp_path / "a.jpg", progressive=True)
    data = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ImageError, match=r"a\.jpg"):
        read_image(tmp_path / "a.jpg")


def test_missing_empty_folder_and_other_files_are_errors_that_name_them(tmp_path):
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.png").write_text("not a picture")
    (tmp_path / "folder.png").mkdir()
    for name, reason in (
        ("gone.jpg", "no such file or folder"),
        ("empty.jpg", "empty"),
        ("text.png", "not an image"),
        ("folder.png", "cannot be read"),
    ):
        with pytest.raises(ImageError, match=f"{name}.*{reason}"):
            read_image(tmp_path / name)


def test_images_are_found_below_a_folder_in_order_and_nothing_else(tmp_path):
    for name in ("b.png", "a/c.JPG", "a/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [p.relative_to(tmp_path).as_posix() for p in list_images(tmp_path)] == ["a/c.JPG", "b.png"]
    assert expand_images([tmp_path / "b.png", tmp_path / "a"]) == [tmp_path / "b.png", tmp_path / "a" / "c.JPG"]


def test_folders_without_images_are_errors(tmp_path):
    for folder, reason in ((tmp_path, "no images"), (tmp_path / "gone", "no such folder")):
        with pytest.raises(DataError, match=reason):
            list_images(folder)
    with pytest.raises(DataError, match="no images given"):
        expand_images([])


def test_arrays_and_tensors_become_one_kind_of_tensor():
    from_array = to_tensor(picture())
    assert from_array.shape == (3, 24, 32) and from_array.dtype == torch.float32
    assert float(from_array[0, 3, 5]) == pytest.approx(picture()[3, 5, 0] / 255)
    assert torch.equal(to_tensor(from_array.double()), from_array)


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (picture().astype(np.float32), "uint8"),
        (picture()[..., :2], "RGB"),
        (picture()[:0], "empty"),
        (torch.zeros(24, 32, 3), "torch image"),
        (torch.zeros(3, 8, 8, dtype=torch.uint8), "float"),
        (torch.full((3, 8, 8), torch.nan), "NaN"),
        (torch.full((3, 8, 8), 255.0), r"\[0, 1\]"),
        (torch.zeros(3, 0, 8), "empty"),
        ([[0]], "list"),
    ],
)
def test_what_is_no_image_is_refused_with_its_name(image, reason):
    with pytest.raises(ImageError, match=f"my image.*{reason}"):
        to_tensor(image, "my image")


def test_shrinking_keeps_coordinates_proportional():
    ramp = ((torch.arange(90) + 0.5) / 90).expand(3, 60, 90)
    small = resize_long_side(ramp, 30)
    assert small.shape == (3, 20, 30)
    expected = ((torch.arange(30) + 0.5) / 30).expand(3, 20, 30)
    # The border repeats under the antialiasing filter.
    torch.testing.assert_close(small[..., 2:-2], expected[..., 2:-2], rtol=0, atol=1e-5)
    assert resize_long_side(ramp, 200) is ramp


def test_padding_repeats_the_border_right_and_below():
    image = torch.rand(3, 13, 17)
    padded = pad_to_multiple(image, 8)
    assert padded.shape == (3, 16, 24)
    assert torch.equal(padded[:, :13, :17], image)
    assert torch.equal(padded[:, :13, 17:], image[:, :, -1:].expand(3, 13, 7))
    assert torch.equal(pad_to_multiple(image[None].expand(2, -1, -1, -1), 8)[1], padded)


def test_an_image_that_cannot_be_written_is_an_error(tmp_path):
    with pytest.raises(ImageError, match=r"a\.xyz: could not be written"):
        write_image(tmp_path / "a.xyz", picture())


@pytest.mark.slow
def test_a_png_can_still_be_written_after_pycolmap_is_loaded(tmp_path):
    pytest.importorskip("pycolmap")
    code = (
        "import sys, numpy as np\nfrom traqpoint import optional, image\noptional.load('pycolmap')\n"
        "a = np.random.default_rng(0).integers(0, 255, (200, 300, 3), dtype=np.uint8)\n"
        "image.write_image(sys.argv[1] + '/cv.png', a)\nassert (image.read_image(sys.argv[1] + '/cv.png') == a).all()\n"
        "from PIL import Image\nImage.fromarray(a).save(sys.argv[1] + '/pil.png')\n"
    )
    out = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert out.returncode == 0, out.stderr
    assert (tmp_path / "pil.png").stat().st_size > 0


def test_a_missing_library_names_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "poselib", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'traqpoint\[eval\]'"):
        optional.load("poselib")


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_the_orientation_of_a_file_is_read(tmp_path, suffix):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(picture(64, 96)).save(tmp_path / f"a{suffix}", exif=exif)
    Image.fromarray(picture(64, 96)).save(tmp_path / f"b{suffix}")
    assert read_orientation(tmp_path / f"a{suffix}") == 6 and read_orientation(tmp_path / f"b{suffix}") == 1
    assert read_image(tmp_path / f"a{suffix}").shape == (96, 64, 3)
    assert first_size([tmp_path / f"a{suffix}"]) == (96, 64)


def test_photographs_that_cannot_be_read_are_told(tmp_path):
    write_image(tmp_path / "a.png", picture(8, 8))
    (tmp_path / "IMG_1.HEIC").touch()
    (tmp_path / "IMG_2.HEIC").touch()
    with pytest.warns(UserWarning, match=r"IMG_1\.HEIC and 1 more: this format cannot be read"):
        assert list_images(tmp_path) == [tmp_path / "a.png"]


_SHRINK_AND_TELL = """
import numpy as np
from memory import peak_memory
from traqpoint.image import shrunk
large = np.full((4000, 8000, 3), 7, np.uint8)
shrunk(large[:200], 40)  # what libraries take at their first call is not the picture's
with peak_memory() as peak:
    assert shrunk(large, 400).shape == (3, 200, 400)
print(peak.mb)
"""


@pytest.mark.slow
def test_a_picture_is_shrunk_to_the_bit_without_its_tensor():
    """Rows first, some at a time: the same numbers as at once; of 384 MB of floats, a part is held."""
    picture = np.random.default_rng(0).integers(0, 255, (700, 300, 3), dtype=np.uint8)
    for long_side in (64, 333, 699):
        assert torch.equal(shrunk(picture, long_side), resize_long_side(to_tensor(picture), long_side))
    # In a process of its own: what others have freed in this one would count, or hide what is taken.
    run = subprocess.run(
        [sys.executable, "-c", _SHRINK_AND_TELL], cwd=Path(__file__).parent / "helpers", capture_output=True, text=True
    )
    if "cannot be read" in run.stderr:
        pytest.skip("the peak of a process's memory cannot be read here")
    assert float(run.stdout) < 150, run.stderr


@pytest.mark.parametrize("change", [(0, 0), (5, 5), (30, 47)])
def test_an_image_is_flat_if_no_pixel_differs(change):
    picture = np.full((31, 48, 3), 90, np.uint8)
    assert is_flat(picture) and is_flat(to_tensor(picture)) and is_flat(picture[:1, :1])
    picture[change] = (90, 91, 90)
    assert not is_flat(picture) and not is_flat(to_tensor(picture))
