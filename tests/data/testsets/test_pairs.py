import pickle
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pytest
import research_data
import torch

from traqpoint.data.testsets.lists import read_megadepth_pairs, read_scannet_pairs, read_superglue_pairs
from traqpoint.data.testsets.pairs import PosePairs, pose_pair, sampled
from traqpoint.data.testsets.read import read_pose_pairs
from traqpoint.data.testsets.scenes import read_colmap_pairs, read_strecha_pairs
from traqpoint.data.testsets.upright import turned_camera
from traqpoint.errors import ConfigError, DataError, FormatError, GeometryError
from traqpoint.geometry.camera import Camera
from traqpoint.geometry.epipolar import fundamental_from_pose, sampson_distance
from traqpoint.geometry.pixels import colmap_from_opencv, opencv_K_from_colmap
from traqpoint.geometry.transforms import rigid, rotation_from_quaternion, scaling, translation
from traqpoint.image import read_image, write_image
from traqpoint.io.colmap_model import NO_POINT, ColmapModel, ModelImage, read_model, shared_points

DATA = research_data.DATA
INDICES = DATA / "formats" / "indices"
MEGADEPTH = INDICES / "megadepth_test_1500_scene_info"
SCANNET = INDICES / "scannet_test_1500"
LIST = INDICES / "scannet_test_pairs_with_gt.txt"
ENTRY = DATA / "posed" / "strecha" / "entry-P10"
needs_indices = pytest.mark.skipif(not INDICES.is_dir(), reason="the public index files are not there")
needs_scenes = pytest.mark.skipif(not ENTRY.is_dir(), reason="the research data is not there")

K_A = torch.tensor([[500.0, 0, 30.25], [0, 510, 22.75], [0, 0, 1]], dtype=torch.float64)
K_B = torch.tensor([[450.0, 0, 33], [0, 440, 20], [0, 0, 1]], dtype=torch.float64)
POSE = rigid(
    rotation_from_quaternion(torch.tensor([1.0, 0.05, -0.1, 0.03], dtype=torch.float64)),
    torch.tensor([0.4, -0.1, 0.2], dtype=torch.float64),
)
POINTS = torch.rand(20, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + torch.tensor([-0.5, 0, 4])


def project(K, points):
    return (points @ K.T)[:, :2] / points[:, 2:]


def line(a="a.png", b="b.png", rotations=(0, 0), K_a=K_A, K_b=K_B, pose=POSE):
    numbers = [*opencv_K_from_colmap(K_a).flatten(), *opencv_K_from_colmap(K_b).flatten(), *pose.flatten()]
    return " ".join([a, b, *map(str, rotations), *(f"{float(x):.17g}" for x in numbers)])


@pytest.mark.slow
@needs_indices
def test_the_two_published_forms_of_scannet_1500_are_the_same_pairs():
    npz, text = read_scannet_pairs("r", SCANNET), read_superglue_pairs(LIST, "r")
    assert len(npz.pairs) == len(text.pairs) == 1500
    resize = scaling(640 / 1296, 480 / 968).double()
    for a, b in zip(npz.pairs, text.pairs, strict=True):
        scene, _, frame = a.name_a.split("/")
        assert b.name_a == f"scans_test/{scene}/sens/frame-{int(frame[:-4]):06}.color.jpg"
    poses, K = ([torch.stack([getattr(p, n) for p in d.pairs]) for d in (npz, text)] for n in ("b_from_a", "K_b"))
    torch.testing.assert_close(*poses, rtol=0, atol=1e-6)
    # One calibration, at two image sizes: only if both have the right half pixel does resizing carry it over.
    torch.testing.assert_close(K[0], resize @ K[1], rtol=0, atol=1e-3)
    size = (1296, 968)
    xy = torch.tensor([[100.0, 200.0], [1200.0, 900.0]])
    carried = npz.pinhole_pixels(npz.pairs[0].name_a, xy, size)
    torch.testing.assert_close(carried, xy.double() @ resize[:2, :2])


@pytest.mark.slow
@needs_indices
def test_megadepth_1500_is_read_as_numpy_reads_it():
    dataset = read_megadepth_pairs("root", MEGADEPTH)
    assert len(dataset.pairs) == 1500 and not dataset.notes
    assert {name.split("/")[1] for name in dataset.images} == {"0015", "0022"}
    info = np.load(MEGADEPTH / "0015_0.1_0.3.npz", allow_pickle=True)  # a known file
    for got, ((i, j), *_) in zip(dataset.pairs[:300], info["pair_infos"], strict=True):
        assert (got.name_a, got.name_b) == (info["image_paths"][i], info["image_paths"][j])
        np.testing.assert_array_equal(got.K_a.numpy(), info["intrinsics"][i])  # COLMAP's: nothing to add
        expected = info["poses"][j] @ np.linalg.inv(info["poses"][i])
        np.testing.assert_allclose(got.b_from_a.numpy(), expected, rtol=0, atol=1e-5)
    assert dataset.images[dataset.pairs[0].name_a] == Path("root") / dataset.pairs[0].name_a


def megadepth_file(folder, poses):
    def objects(values):
        out = np.empty(len(values), dtype=object)
        out[:] = values
        return out

    info = {
        "image_paths": objects(["s/a.jpg", "s/b.jpg", "s/c.jpg"]),
        "intrinsics": objects([K_A.numpy()] * 3),
        "poses": objects(poses),
        "pair_infos": [(np.array([0, 1]), 0.5, None), (np.array([1, 2]), 0.4, None)],
    }
    (folder / "scene.npz").write_bytes(pickle.dumps(info))


@pytest.mark.parametrize("unknown", [None, np.full((4, 4), np.nan)], ids=["None", "NaN"])
def test_pairs_without_ground_truth_stop_the_run_or_are_counted(unknown, tmp_path):
    megadepth_file(tmp_path, [np.eye(4), POSE.numpy(), unknown])
    with pytest.raises(DataError, match=r"1 of 2 pairs.*s/b.jpg s/c.jpg"):
        read_megadepth_pairs("r", tmp_path)
    dataset = read_megadepth_pairs("r", tmp_path, missing="skip")
    assert dataset.names == [("s/a.jpg", "s/b.jpg")]
    assert len(dataset.notes) == 1 and "1 of 2 pairs have no ground truth" in dataset.notes[0]
    megadepth_file(tmp_path, [unknown] * 3)
    with pytest.raises(DataError, match="no pairs"):
        read_megadepth_pairs("r", tmp_path, missing="skip")


def test_scene_info_whose_parts_do_not_fit_is_named(tmp_path):
    megadepth_file(tmp_path, [np.eye(4)])
    with pytest.raises(FormatError, match=r"scene.npz.*do not fit"):
        read_megadepth_pairs("r", tmp_path)


@pytest.mark.parametrize("rotation", [0, 1, 2, 3])
def test_a_turned_camera_sees_what_the_turned_image_shows(rotation):
    """Against np.rot90 of an image whose pixels know where they were."""
    height, width = 5, 7
    rows, columns = np.mgrid[:height, :width]
    turned = np.rot90(np.stack([columns, rows], -1), rotation)
    K, turned_from_camera = turned_camera(K_A, rotation, (width, height))
    x = torch.tensor([3.5, 1.5, 1.0], dtype=torch.float64)  # the centre of pixel (3, 1)
    ray = torch.linalg.inv(K_A) @ x
    seen = K @ turned_from_camera[:3, :3] @ ray
    column, row = (seen[:2] / seen[2] - 0.5).round().long().tolist()
    assert turned[row, column].tolist() == [3, 1]
    assert torch.linalg.det(turned_from_camera[:3, :3]) == pytest.approx(1)


def test_exif_rotations_turn_the_image_and_its_geometry(tmp_path):
    image = np.zeros((48, 64, 3), dtype=np.uint8)
    image[3, 10] = 255
    for name in "ab":
        write_image(tmp_path / f"{name}.png", image)
    path = tmp_path / "pairs.txt"
    path.write_text(f"# a comment\n\n{line(rotations=(1, 2))}\n")
    with pytest.raises(FormatError, match=r"pairs.txt:3: a.png has EXIF rotation 1"):
        read_superglue_pairs(path, tmp_path)
    dataset = read_superglue_pairs(path, tmp_path, tmp_path / "upright")
    (pair,) = dataset.pairs
    shown = read_image(dataset.images["a.png"])
    np.testing.assert_array_equal(shown, np.rot90(image, 1))
    a, b = project(K_A, POINTS), project(K_B, POINTS @ POSE[:3, :3].T + POSE[:3, 3])
    turned_a = torch.stack([a[:, 1], 64 - a[:, 0]], -1)
    turned_b = torch.stack([64 - b[:, 0], 48 - b[:, 1]], -1)
    F = fundamental_from_pose(pair.b_from_a, pair.K_a, pair.K_b)
    assert sampson_distance(F, turned_a, turned_b).max() < 1e-9
    assert sampson_distance(F, a, b).max() > 1  # as stored it would not fit


@pytest.mark.slow
def test_the_text_format_counts_from_pixel_centres(tmp_path):
    path = tmp_path / "pairs.txt"
    path.write_text(line())
    (pair,) = read_superglue_pairs(path, tmp_path).pairs
    torch.testing.assert_close(pair.K_a, K_A)
    torch.testing.assert_close(pair.K_b, K_B)
    torch.testing.assert_close(pair.b_from_a, POSE)


@pytest.mark.parametrize(
    ("text", "error", "reason"),
    [
        ("a b 0 0 1 2 3", FormatError, "pairs.txt:1.*38 words"),
        (line().replace(" 0 0 ", " 0 x ", 1), FormatError, "pairs.txt:1"),
        (line(rotations=(0, 4)), FormatError, "rotation 4 of b.png"),
        (line() + "\n" + line(rotations=(1, 0)), FormatError, "pairs.txt:2.*rotation 1"),
        (line(K_a=torch.zeros(3, 3)), GeometryError, "a.png b.png.*not a calibration"),
        (line(pose=POSE * 2), GeometryError, "a.png b.png.*not a rotation"),
        (line(pose=POSE * torch.nan), DataError, "1 of 1 pairs have no ground truth"),
        ("a.png b.png", DataError, "1 of 1 pairs have no ground truth"),
        ("", DataError, "no pairs"),
    ],
)
def test_broken_lists_are_refused_by_line(text, error, reason, tmp_path):
    path = tmp_path / "pairs.txt"
    path.write_text(text)
    with pytest.raises(error, match=reason):
        read_superglue_pairs(path, tmp_path)


def test_a_missing_image_of_a_turned_pair_keeps_its_path_for_the_report(tmp_path):
    path = tmp_path / "pairs.txt"
    path.write_text(line(rotations=(1, 0)))
    dataset = read_superglue_pairs(path, tmp_path, tmp_path / "upright")
    assert dataset.images["a.png"] == tmp_path / "a.png"


def test_shared_points_are_those_that_counting_finds():
    generator = torch.Generator().manual_seed(0)
    camera = Camera("PINHOLE", (640, 480), torch.tensor([500.0, 500, 320, 240], dtype=torch.float64))
    seen = [torch.randint(-1, 40, (int(n),), generator=generator) for n in torch.randint(0, 60, (12,))]
    images = {str(i): ModelImage(str(i), camera, POSE, torch.zeros(len(ids), 2), ids) for i, ids in enumerate(seen)}
    pairs, counts = shared_points(ColmapModel(images, torch.arange(40), torch.zeros(40, 3), torch.zeros(40)))
    sets = [set(ids.tolist()) - {NO_POINT} for ids in seen]
    truth = {(i, j): len(sets[i] & sets[j]) for i, j in combinations(range(12), 2)}
    got = dict(zip(map(tuple, pairs.tolist()), counts.tolist(), strict=True))
    assert got == {pair: count for pair, count in truth.items() if count}


@pytest.mark.slow
@needs_scenes
def test_pairs_of_a_colmap_model_share_points_that_satisfy_their_epipolar_geometry():
    pytest.importorskip("pycolmap")
    folder = DATA / "posed" / "bonsai"
    model = read_model(folder / "sparse" / "0")
    dataset = read_colmap_pairs(folder / "sparse" / "0", folder / "images", 150, 200)
    assert dataset.name == "bonsai/sparse/0" and all(path.is_file() for path in dataset.images.values())
    for pair in dataset.pairs[::100]:
        a, b = model.images[pair.name_a], model.images[pair.name_b]
        common = sorted(set(a.point3D.tolist()) & set(b.point3D.tolist()) - {NO_POINT})
        assert 150 <= len(common) <= 200
        at = [torch.stack([v.xy[v.point3D == point][0] for point in common]) for v in (a, b)]
        pixels = [dataset.pinhole_pixels(v.name, xy, v.camera.image_size) for v, xy in zip((a, b), at, strict=True)]
        F = fundamental_from_pose(pair.b_from_a, pair.K_a, pair.K_b)
        assert sampson_distance(F, *pixels).median() < 0.5


def test_a_range_of_shared_points_is_checked(tmp_path):
    for least, most in ((10, 5), (0, None)):
        with pytest.raises(ConfigError, match="range"):
            read_colmap_pairs(tmp_path, tmp_path, least, most)


def test_distorted_keypoints_become_those_of_a_pinhole_at_any_image_size():
    camera = Camera("SIMPLE_RADIAL", (640, 480), torch.tensor([500.0, 321.0, 238.0, -0.4], dtype=torch.float64))
    pair = pose_pair("a", "b", camera.K, camera.K, POSE)
    dataset = PosePairs("d", {}, (pair,), {"a": camera})
    distorted = camera.project(POINTS)
    assert (distorted - project(camera.K, POINTS)).norm(dim=-1).max() > 1
    for size in ((640, 480), (1280, 960), (320, 240)):
        given = distorted * size[0] / 640
        torch.testing.assert_close(dataset.pinhole_pixels("a", given, size), project(camera.K, POINTS))
        assert torch.equal(dataset.pinhole_pixels("b", given, size), given)


@pytest.mark.slow
@needs_scenes
def test_the_surveyed_poses_fit_sift_matches_and_half_a_pixel_less_or_more_fits_worse():
    dataset = read_strecha_pairs(ENTRY, max_angle=30)
    neighbours = [p for p in dataset.pairs if int(p.name_b[:4]) == int(p.name_a[:4]) + 1 < 6]
    assert len(neighbours) == 5
    sift = cv2.SIFT_create(nfeatures=1000, enable_precise_upscale=True)
    found = {}
    for name in dict.fromkeys(name for pair in neighbours for name in (pair.name_a, pair.name_b)):
        path = dataset.images[name]
        points, vectors = sift.detectAndCompute(cv2.cvtColor(read_image(path), cv2.COLOR_RGB2GRAY), None)
        found[name] = colmap_from_opencv(torch.tensor([p.pt for p in points], dtype=torch.float64)), vectors
    medians = {shift: [] for shift in (-0.5, 0.0, 0.5)}
    for pair in neighbours:
        (xy_a, a), (xy_b, b) = found[pair.name_a], found[pair.name_b]
        two = cv2.BFMatcher(cv2.NORM_L2).knnMatch(a, b, k=2)
        matches = [first for first, second in two if first.distance < 0.7 * second.distance]
        i, j = [m.queryIdx for m in matches], [m.trainIdx for m in matches]
        for shift, values in medians.items():
            move = translation(shift, shift).double()
            F = fundamental_from_pose(pair.b_from_a, move @ pair.K_a, move @ pair.K_b)
            distance = sampson_distance(F, xy_a[i], xy_b[j])
            values.append(float(distance[distance < 3].median()))
    less, exact, more = (float(np.mean(values)) for values in medians.values())
    assert exact < 0.15
    assert less > 1.1 * exact and more > 1.1 * exact


def test_a_sample_of_the_pairs_brings_the_images_that_it_needs():
    pairs = tuple(pose_pair(f"{i}", f"{i + 1}", K_A, K_B, POSE) for i in range(9))
    dataset = PosePairs("d", {f"{i}": Path(f"{i}.jpg") for i in range(10)}, pairs)
    some = sampled(dataset, 3, seed=1)
    assert len(some.pairs) == 3 and some.pairs == sampled(dataset, 3, seed=1).pairs
    assert set(some.images) == {name for names in some.names for name in names}
    assert "3 of 9 pairs" in some.notes[0]
    assert sampled(dataset, 9) is dataset
    with pytest.raises(ConfigError):
        sampled(dataset, 0)


def test_the_kind_of_a_source_is_found_out(tmp_path):
    folders = {name: tmp_path / name for name in ("megadepth", "scannet", "colmap", "strecha", "empty")}
    for folder in folders.values():
        folder.mkdir()
    megadepth_file(folders["megadepth"], [np.eye(4), POSE.numpy(), POSE.numpy()])
    np.savez(folders["scannet"] / "intrinsics.npz", scene0707_00=K_A.numpy())
    names, poses = np.array([[707, 0, 15, 585]], dtype=np.uint16), POSE[:3].reshape(1, 12).float().numpy()
    np.savez(folders["scannet"] / "test.npz", name=names, rel_pose=poses)
    (folders["colmap"] / "images.bin").write_bytes(b"")
    numbers = [*K_A[[0, 1, 0, 1], [0, 1, 2, 2]].tolist(), *torch.eye(3).flatten().tolist()]
    lines = (" ".join(map(str, [f"{i}.jpg", *numbers, i, 0, 0])) for i in range(3))
    (folders["strecha"] / "cameras.txt").write_text("\n".join(lines))
    (tmp_path / "list.txt").write_text(line())

    assert read_pose_pairs(folders["megadepth"], "r").name == "MegaDepth"
    assert read_pose_pairs(folders["scannet"], "r").names == [
        ("scene0707_00/color/15.jpg", "scene0707_00/color/585.jpg")
    ]
    assert read_pose_pairs(tmp_path / "list.txt", "r").name == "list"
    assert len(read_pose_pairs(folders["strecha"]).pairs) == 3
    pytest.importorskip("pycolmap")
    with pytest.raises(FormatError, match="COLMAP"):
        read_pose_pairs(folders["colmap"], "r")
    with pytest.raises(ConfigError, match="images"):
        read_pose_pairs(folders["scannet"])
    with pytest.raises(DataError, match="empty"):
        read_pose_pairs(folders["empty"], "r")
    with pytest.raises(DataError, match="no such"):
        read_pose_pairs(tmp_path / "nothing", "r")


def test_damaged_scannet_indices_are_named(tmp_path):
    np.savez(tmp_path / "test.npz", name=np.zeros((1, 4), dtype=np.uint16), rel_pose=np.zeros((1, 12)))
    with pytest.raises(FormatError, match=r"intrinsics.npz"):
        read_scannet_pairs("r", tmp_path)
    np.savez(tmp_path / "intrinsics.npz", scene0707_00=K_A.numpy())
    with pytest.raises(FormatError, match=r"intrinsics.npz.*scene0000_00"):
        read_scannet_pairs("r", tmp_path)
