"""MegaDepth: its files read as they are, sequences chosen by overlap, benchmarks' scenes kept out."""

import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest
import research_data
import torch
from wavy_world import camera, color_error, pose, shoot, write_jpg

from traqpoint.cli.main import main
from traqpoint.data.loader import Loader
from traqpoint.data.posed.config import IndexConfig, MegaDepthConfig
from traqpoint.data.posed.megadepth import MegaDepthFrames, MegaDepthSequences
from traqpoint.data.posed.megadepth_index import (
    EXCLUDED_SCENES,
    ScenePairs,
    build_sequences,
    draw_sequences,
    find_scenes,
    read_index,
    read_scene,
    write_index,
)
from traqpoint.errors import ConfigError, DataError, FormatError, GeometryError, ImageError

FIXTURES = research_data.DATA / "formats/indices/megadepth_test_1500_scene_info"
INDICES = Path("megadepth_indices") / "scene_info_0.1_0.7"
POSES = [pose(0.05 * i, 0.03 * i, roll=50 * i) for i in range(8)]
SIZE = (120, 90)


def image_path(scene, i):
    return f"Undistorted_SfM/{scene}/images/photo_{i}_o.jpg"


def scene_dict(scene, poses=POSES, width=SIZE[0], height=SIZE[1]):
    """A scene_info dictionary of frames that all see each other, one frame without anything among them."""
    n = len(poses)
    lists = {
        "image_paths": [image_path(scene, i) for i in range(n)],
        "depth_paths": [f"phoenix/S6/zl548/MegaDepth_v1/{scene}/dense0/depths/photo_{i}_o.h5" for i in range(n)],
        "intrinsics": [camera(100.0, width, height).double().numpy() for _ in range(n)],
        "poses": [p.numpy() for p in poses],
    }
    columns = {}
    for key, values in lists.items():
        columns[key] = np.empty(n + 1, dtype=object)
        columns[key][:n] = values
    pairs = [(i, j) for i in range(n) for j in range(i + 1, n)]
    infos = [(np.array(pair), np.float64(0.1 + 0.6 * k / len(pairs)), np.zeros(4)) for k, pair in enumerate(pairs)]
    infos.append((np.array([0, n]), np.float64(0.4), np.zeros(4)))
    return columns | {"pair_infos": infos}


def write_scene(root, scene, poses=POSES):
    """Photographs, depth and scene_info of exactly MegaDepth's shape; the sky has depth 0."""
    width, height = SIZE
    for i, p in enumerate(poses):
        image, depth = shoot(camera(100.0, width, height), p, width, height)
        depth[:12] = 0
        write_jpg(root / image_path(scene, i), image)
        path = root / "depth_undistorted" / scene / f"photo_{i}_o.h5"
        path.parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(path, "w") as file:
            file["depth"] = depth.astype(np.float32)
    info = root / INDICES / f"{scene}_0.1_0.7.npz"
    info.parent.mkdir(parents=True, exist_ok=True)
    info.write_bytes(pickle.dumps(scene_dict(scene, poses)))


@pytest.fixture
def root(tmp_path):
    write_scene(tmp_path, "0001")
    return tmp_path


def indexed(root, **options):
    """Frames and sequences of all scenes below `root`, through the index file."""
    options = {"num_frames": 3, "bands": ((0.1, 0.7),), "per_scene": 20, **options}
    scenes = [read_scene(files) for files in find_scenes(root / INDICES).values()]
    write_index(root / "index.npz", build_sequences(scenes, IndexConfig(**options)))
    return root / "index.npz"


def training(root, index, **options):
    options = {"image_size": (64, 64), "photometric": 0.0, **options}
    return MegaDepthSequences(MegaDepthConfig(root=root, sequences=index, **options))


def test_the_scenes_that_benchmarks_test_on_are_these():
    """MegaDepth-1500: 0015 and 0022; the Image Matching Challenge's eight."""
    challenge = {"0008", "0019", "0021", "0024", "0025", "0032", "0063", "1589"}
    assert set(EXCLUDED_SCENES) == challenge | {"0015", "0022"}
    assert "MegaDepth-1500" in EXCLUDED_SCENES["0015"] and "Image Matching Challenge" in EXCLUDED_SCENES["0008"]


@pytest.mark.parametrize("scene", EXCLUDED_SCENES)
def test_nothing_can_be_trained_on_a_benchmarks_scene(scene, tmp_path):
    """Left out if nobody asks, an error with the reason if somebody does: by name, by its frames, by an index file."""
    folder = tmp_path / INDICES
    folder.mkdir(parents=True)
    for name in (scene, "0001"):
        (folder / f"{name}_0.1_0.3.npz").write_bytes(pickle.dumps(scene_dict(name)))
    assert list(find_scenes(folder)) == ["0001"]
    reason = rf"scene {scene} is not for training: .* tests on it"
    with pytest.raises(DataError, match=reason):
        find_scenes(folder, ["0001", scene])
    (folder / "0002.npz").write_bytes(pickle.dumps(scene_dict(scene)))  # under another name
    with pytest.raises(DataError, match=reason):
        build_sequences([read_scene([folder / "0002.npz"])], IndexConfig(num_frames=3))
    index = build_sequences([read_scene([folder / "0001_0.1_0.3.npz"])], IndexConfig(num_frames=3))
    index.images[:] = [str(name).replace("0001", scene) for name in index.images]
    write_index(tmp_path / "smuggled.npz", index)
    with pytest.raises(DataError, match=reason):
        read_index(tmp_path / "smuggled.npz")


def test_frames_are_read_as_they_are(root):
    """COLMAP's K is ours without conversion, poses are cam_from_world, 0 is unknown; half a pixel would be seen."""
    frames = MegaDepthFrames(root, indexed(root))
    number = {name: i for i, name in enumerate(frames.index.images.tolist())}
    a, b = (frames.frame(number[image_path("0001", i)]) for i in (0, 3))
    assert torch.equal(a.K, camera(100.0, *SIZE)) and torch.equal(b.cam_from_world, POSES[3])
    assert a.depth[:12].isnan().all() and a.depth[12:].isfinite().all()
    error, visible = color_error(a, b)
    assert visible > 0.5
    assert min(color_error(a, b, 0.5)[0], color_error(a, b, -0.5)[0]) > 5 * error


def test_sequences_reach_training_with_the_index_files_overlaps(root):
    """Every frame of a batch is one of a chosen sequence, in its order, and points can be carried between them."""
    source = training(root, indexed(root))
    batch = source.sample(4, torch.Generator().manual_seed(0))
    assert batch.images.shape == (4, 3, 3, 64, 64)
    again = training(root, root / "index.npz").sample(4, torch.Generator().manual_seed(0))
    assert torch.equal(batch.images, again.images)
    xy = torch.full((4, 1, 2), 32.0)
    assert batch.geometry.warp(0, 2, xy).visible.float().mean() > 0.5


def test_a_band_takes_only_sequences_within_it(root):
    """with_overlap, by which a curriculum goes on; an empty band is an error that names the file and the band."""
    index = indexed(root, bands=((0.1, 0.3), (0.5, 0.7)), num_frames=2)
    source = training(root, index)
    low = source.with_overlap((0.1, 0.3))
    shares = read_index(index).overlaps[:, 0]
    assert len(low._rows) == (shares <= 0.3).sum() and len(source._rows) == len(shares) > len(low._rows)
    low.sample(1, torch.Generator().manual_seed(0))
    with pytest.raises(DataError, match=r"index.npz: no sequence has all its overlaps in \[0.8, 0.9\]"):
        source.with_overlap((0.8, 0.9))


def test_a_curriculum_that_lacks_a_band_is_told_before_the_first_step(root):
    index = indexed(root, bands=((0.5, 0.7),), num_frames=2)
    source = training(root, index, curriculum=True)
    with pytest.raises(DataError, match="no sequence has all its overlaps"):
        Loader(source, 1, range(10), 10)


def test_a_corrupt_file_in_the_middle_is_a_counted_skip(root):
    """A cut HDF5 and a cut JPEG: the epoch goes on, one warning counts them; if all are, one error."""
    index = indexed(root, per_scene=200)
    depth = root / "depth_undistorted" / "0001" / "photo_2_o.h5"
    depth.write_bytes(depth.read_bytes()[:300])
    photo = root / image_path("0001", 5)
    photo.write_bytes(photo.read_bytes()[:500])
    source = training(root, index)
    with pytest.warns(UserWarning, match=r"2 frames could not be read, the first: .*photo_[25]_o") as caught:
        source.sample(30, torch.Generator().manual_seed(0))
    assert len(caught) == 1 and source.loader.skipped == 2
    for path in (root / "depth_undistorted" / "0001").iterdir():
        path.write_bytes(b"")
    with pytest.raises(DataError, match=r"index.npz: .* none found in \d+ attempts; 8 frames could not be read"):
        training(root, index).sample(1, torch.Generator().manual_seed(0))


def test_frames_that_see_nothing_of_each_other_are_a_counted_skip(root):
    """Depth in another unit than the poses; if all of it is, one error."""
    index = indexed(root)
    depths = sorted((root / "depth_undistorted" / "0001").iterdir())
    for path in depths[:-3]:
        with h5py.File(path, "r+") as file:
            file["depth"][:] /= 1000
    source = training(root, index)
    with pytest.warns(UserWarning, match=r"they see nothing of each other"):
        geometry = source.sample(10, torch.Generator().manual_seed(0)).geometry
    assert source.unreadable
    assert all((geometry.depth[b].flatten(1).nanmedian(1).values > 1).sum() >= 2 for b in range(10))
    for path in depths[-3:]:
        with h5py.File(path, "r+") as file:
            file["depth"][:] /= 1000
    with pytest.raises(DataError, match=r"none found in \d+ attempts; .* see nothing of each other \(another unit"):
        training(root, index).sample(1, torch.Generator().manual_seed(0))


def test_a_damaged_frame_is_named(root):
    """Missing photograph, missing depth, no dataset /depth, another size, a pose that is no rotation."""
    index = indexed(root)
    frames = MegaDepthFrames(root, index)
    first = Path(str(frames.index.images[0]))
    depth = root / "depth_undistorted" / "0001" / f"{first.stem}.h5"
    with h5py.File(depth, "w") as file:
        file["depth"] = np.ones((5, 6), dtype=np.float32)
    with pytest.raises(GeometryError, match=rf"{depth.name}: \(5, 6\) does not fit .*{first.name}: \(90, 120\)"):
        frames.frame(0)
    with h5py.File(depth, "w") as file:
        file["disparity"] = np.ones((90, 120), dtype=np.float32)
    with pytest.raises(GeometryError, match=f"{depth.name}: no depth map can be read"):
        frames.frame(0)
    depth.unlink()
    with pytest.raises(GeometryError, match=f"{depth.name}: no such file"):
        frames.frame(0)
    (root / first).unlink()
    with pytest.raises(ImageError, match=f"{first.name}: no such file"):
        frames.frame(0)
    frames.index.cam_from_world[1][0, 0] = 7
    with pytest.raises(GeometryError, match="not a rotation"):
        frames.frame(1)


def test_depth_where_d2nets_scripts_leave_it_is_found(root):
    """The path in the scene_info file comes first."""
    frames = MegaDepthFrames(root, indexed(root))
    listed = root / str(frames.index.depths[0])
    listed.parent.mkdir(parents=True)
    with h5py.File(listed, "w") as file:
        file["depth"] = np.full((90, 120), 7, dtype=np.float32)
    assert (frames.frame(0).depth == 7).all()


def graph(n=40, seed=0):
    """Random pairs and overlaps of n frames."""
    rng = np.random.default_rng(seed)
    pairs = np.array([(i, j) for i in range(n) for j in range(i + 1, n) if rng.random() < 0.4])
    return pairs, rng.uniform(0, 1, len(pairs))


@pytest.mark.parametrize("order", ["star", "chain"])
def test_every_drawn_sequence_keeps_to_the_band(order):
    """Neighbours are listed pairs whose overlap is in the band; frames and sequences are all different."""
    pairs, shares = graph()
    listed = {tuple(pair): share for pair, share in zip(pairs.tolist(), shares, strict=True)}
    config = IndexConfig(num_frames=4, order=order, per_scene=50)
    drawn = draw_sequences(pairs, shares, (0.3, 0.6), config, np.random.default_rng(0))
    assert len(drawn) == len(set(drawn)) == 50
    for frames in drawn:
        assert len(set(frames)) == 4
        before = frames[:1] * 3 if order == "star" else frames[:-1]
        assert all(0.3 <= listed[min(a, b), max(a, b)] <= 0.6 for a, b in zip(before, frames[1:], strict=True))
    if order == "star":
        assert len({(frames[0], *sorted(frames[1:])) for frames in drawn}) == 50


def test_all_sequences_that_there_are_are_found_and_no_more():
    """A path 0-1-2-3 has two chains of four frames, and one star of three around each inner frame."""
    pairs, shares = np.array([[0, 1], [1, 2], [2, 3]]), np.full(3, 0.5)
    chains = draw_sequences(
        pairs, shares, (0.4, 0.6), IndexConfig(num_frames=4, order="chain"), np.random.default_rng(0)
    )
    stars = draw_sequences(pairs, shares, (0.4, 0.6), IndexConfig(num_frames=3), np.random.default_rng(0))
    assert sorted(chains) == [(0, 1, 2, 3), (3, 2, 1, 0)]
    assert sorted(stars) == [(1, 0, 2), (2, 1, 3)]
    assert draw_sequences(pairs, shares, (0.6, 0.7), IndexConfig(), np.random.default_rng(0)) == []


def synthetic(scene):
    pairs, shares = graph(seed=int(scene))
    n = 40
    images = [image_path(scene, i) for i in range(n)]
    return ScenePairs(scene, images, images, np.zeros((n, 3, 3)), np.zeros((n, 4, 4)), pairs, shares)


def test_the_seed_decides_and_a_scene_does_not_depend_on_the_others():
    """The same again for the same seed; scene 0003 has the same sequences alone and beside 0001."""

    def names(index):
        return {tuple(index.images[row].tolist()) for row in index.sequences}

    config = IndexConfig(per_scene=20, seed=3)
    both = build_sequences([synthetic("0001"), synthetic("0003")], config)
    again = build_sequences([synthetic("0001"), synthetic("0003")], config)
    assert np.array_equal(both.sequences, again.sequences) and np.array_equal(both.images, again.images)
    alone = build_sequences([synthetic("0003")], config)
    assert names(alone) == {frames for frames in names(both) if "/0003/" in frames[0]}
    assert names(build_sequences([synthetic("0003")], IndexConfig(per_scene=20, seed=4))) != names(alone)


def test_sequences_of_the_three_bands_are_in_equal_numbers():
    """The paper's curriculum: high, medium, low."""
    shares = build_sequences([synthetic("0001")], IndexConfig(num_frames=3, per_scene=30)).overlaps
    for low, high in ((0.5, 0.7), (0.3, 0.5), (0.1, 0.3)):
        assert ((shares >= low) & (shares <= high)).all(1).sum() == 30


def test_an_index_comes_back_as_it_was_written_without_pickles(root):
    """numpy reads it with pickles forbidden."""
    index = build_sequences([synthetic("0001")], IndexConfig(per_scene=5))
    write_index(root / "a" / "i.npz", index)
    back = read_index(root / "a" / "i.npz")
    for name in ("images", "depths", "K", "cam_from_world", "sequences", "overlaps"):
        assert np.array_equal(getattr(back, name), getattr(index, name))
    assert not list((root / "a").glob("*.part"))


def test_what_is_no_index_is_refused(root):
    """Missing, cut, another archive."""
    index = indexed(root)
    data = index.read_bytes()
    for content in (None, b"", data[: len(data) // 2], b"text"):
        path = root / "other.npz"
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(FormatError, match=r"other.npz: not an index"):
            read_index(path)
    np.savez(root / "other.npz", a=np.zeros(3))
    with pytest.raises(FormatError, match=r"other.npz: not an index that"):
        read_index(root / "other.npz")
    with pytest.raises(DataError, match="not MegaDepth, there is no folder Undistorted_SfM"):
        MegaDepthFrames(root / "megadepth_indices", index)


def test_frames_without_everything_take_part_in_no_pair(root):
    """The ninth frame has neither image nor pose; its pair is not there, the other 28 are."""
    scene = read_scene([root / INDICES / "0001_0.1_0.7.npz"])
    assert scene.scene == "0001" and len(scene.images) == 8
    assert scene.pairs.shape == (28, 2) and (scene.pairs[:, 0] < scene.pairs[:, 1]).all()


def test_of_two_directions_the_smaller_overlap_counts(tmp_path):
    """In one file or in two."""
    content = scene_dict("0004")
    for name, info in (("a", [((0, 1), 0.5, None), ((1, 0), 0.6, None)]), ("b", [((1, 0), 0.4, None)])):
        (tmp_path / f"0004_{name}.npz").write_bytes(pickle.dumps(content | {"pair_infos": info}))
    assert read_scene([tmp_path / "0004_a.npz"]).overlaps.tolist() == [0.5]
    assert read_scene([tmp_path / "0004_a.npz", tmp_path / "0004_b.npz"]).overlaps.tolist() == [0.4]


def test_the_overlap_matrix_of_d2net_counts_by_its_smaller_direction(tmp_path):
    """A true npz archive with object arrays; only the pair whose both directions overlap."""
    content = scene_dict("0004")
    del content["pair_infos"]
    matrix = np.zeros((9, 9), dtype=np.float32)
    matrix[0, 1], matrix[1, 0] = 0.6, 0.4
    matrix[2, 3] = 0.9
    np.savez(tmp_path / "0004.npz", overlap_matrix=matrix, **content)
    scene = read_scene([tmp_path / "0004.npz"])
    assert scene.images == [image_path("0004", 0), image_path("0004", 1)]
    assert scene.pairs.tolist() == [[0, 1]] and scene.overlaps.tolist() == pytest.approx([0.4])


def test_a_broken_scene_info_file_is_named(tmp_path):
    """No pairs, a number beyond the frames, frames of two scenes."""
    path = tmp_path / "0001.npz"
    content = scene_dict("0001")
    path.write_bytes(pickle.dumps(content | {"pair_infos": []}))
    with pytest.raises(DataError, match=r"0001.npz: no pair"):
        read_scene([path])
    path.write_bytes(pickle.dumps(content | {"pair_infos": [((0, 99), 0.5, None)]}))
    with pytest.raises(FormatError, match=r"0001.npz: the pairs and the frames do not fit"):
        read_scene([path])
    path.write_bytes(pickle.dumps(content))
    other = tmp_path / "0001_b.npz"
    other.write_bytes(pickle.dumps(scene_dict("0003")))
    with pytest.raises(DataError, match=r"0001.npz: frames of several scenes, 0001, 0003"):
        read_scene([path, other])


@pytest.mark.parametrize(
    "options",
    [{"num_frames": 1}, {"order": "ring"}, {"bands": ()}, {"bands": ((0.5, 0.4),)}, {"per_scene": 0}],
    ids=str,
)
def test_a_wrong_configuration_is_refused(options):
    """Before any file is read."""
    with pytest.raises(ConfigError):
        IndexConfig(**options)


def test_the_command_writes_the_index_that_training_reads(root, capsys):
    """From scene_info files to a batch; a held-out scene ends it with one line and exit code 1."""
    out = root / "chosen.npz"
    options = ["--num-frames", "3", "--bands", "0.1", "0.7", "--per-scene", "10"]
    assert main(["data", "megadepth-sequences", str(root), "--out", str(out), *options]) == 0
    assert "10 sequences" in capsys.readouterr().out
    assert training(root, out).sample(2, torch.Generator().manual_seed(0)).images.shape == (2, 3, 3, 64, 64)
    assert main(["data", "megadepth-sequences", str(root), "--out", str(out), "--scenes", "0015"]) == 1
    assert "scene 0015 is not for training: MegaDepth-1500 tests on it" in capsys.readouterr().err
    assert main(["data", "megadepth-sequences", str(root / "nowhere"), "--out", str(out)]) == 1
    assert "no scene_info file" in capsys.readouterr().err


@pytest.mark.skipif(not FIXTURES.is_dir(), reason="the MegaDepth-1500 indices are not here")
def test_the_published_indices_are_read():
    """300 lines per file, in its band, a few of them the same pair in its other direction, which counts once with the
    smaller overlap. They are a benchmark's, so no index can be made of them."""
    pairs = {
        "0015": ({"0.1_0.3": 299, "0.3_0.5": 300}, 596),
        "0022": ({"0.1_0.3": 300, "0.3_0.5": 300, "0.5_0.7": 292}, 892),
    }
    for scene, (names, together) in pairs.items():
        for name, count in names.items():
            one = read_scene([FIXTURES / f"{scene}_{name}.npz"])
            low, high = map(float, name.split("_"))
            assert len(one.pairs) == count and one.scene == scene
            assert low <= one.overlaps.min() and one.overlaps.max() <= high
        merged = read_scene([FIXTURES / f"{scene}_{name}.npz" for name in names])
        assert len(merged.pairs) == together
        assert (np.abs(np.linalg.det(merged.cam_from_world[:, :3, :3]) - 1) < 1e-4).all()
        assert (merged.K[:, 2, 2] == 1).all()
        chains = draw_sequences(
            merged.pairs, merged.overlaps, (0.1, 0.7), IndexConfig(order="chain"), np.random.default_rng(0)
        )
        assert len(chains) > 20
        with pytest.raises(DataError, match="MegaDepth-1500 tests on it"):
            build_sequences([merged], IndexConfig())
    with pytest.raises(DataError, match="no scene_info file of scene 0007"):
        find_scenes(FIXTURES, ["0007"])
