"""Choosing pairs."""

import pytest

from traqpoint.errors import ConfigError, DataError, FormatError
from traqpoint.inference.config import PairsConfig
from traqpoint.inference.pairs import exhaustive_pairs, read_pairs, select_pairs, sequential_pairs, without_repeats


def test_exhaustive_and_sequential():
    """Every pair once; or each image with its next ones."""
    assert exhaustive_pairs("abc") == [("a", "b"), ("a", "c"), ("b", "c")]
    assert sequential_pairs("abcd", 2) == [("a", "b"), ("a", "c"), ("b", "c"), ("b", "d"), ("c", "d")]
    assert exhaustive_pairs(["a"]) == [] and sequential_pairs([], 3) == []
    with pytest.raises(ConfigError, match="window"):
        sequential_pairs("ab", 0)
    with pytest.raises(ConfigError, match="window"):
        PairsConfig(window=0)


def test_a_text_file_of_pairs(tmp_path):
    """Two names per line; blank lines and comments are skipped; select_pairs takes the path."""
    (tmp_path / "pairs.txt").write_text("# all of them\na/1.jpg b/2.jpg\n\n  c d  \n")
    assert read_pairs(tmp_path / "pairs.txt") == [("a/1.jpg", "b/2.jpg"), ("c", "d")]
    assert select_pairs([], PairsConfig(str(tmp_path / "pairs.txt"))) == [("a/1.jpg", "b/2.jpg"), ("c", "d")]
    assert select_pairs("abc", PairsConfig("sequential", 1)) == [("a", "b"), ("b", "c")]
    assert select_pairs("ab", PairsConfig()) == [("a", "b")]


def test_bad_pair_files_are_named(tmp_path):
    """A missing file, a line with one name, a file without pairs."""
    (tmp_path / "bad.txt").write_text("a b\nc\n")
    with pytest.raises(FormatError, match=r"bad\.txt:2: expected two image names, got 1"):
        read_pairs(tmp_path / "bad.txt")
    with pytest.raises(FormatError, match=r"nothing\.txt"):
        read_pairs(tmp_path / "nothing.txt")
    (tmp_path / "empty.txt").write_text("# nothing\n")
    with pytest.raises(DataError, match=r"empty\.txt: no pairs"):
        read_pairs(tmp_path / "empty.txt")


def test_repeats_are_dropped():
    """A pair counts once whichever way round, and no image is matched with itself."""
    assert without_repeats([("a", "b"), ("b", "a"), ("a", "a"), ("b", "c"), ("a", "b")]) == [("a", "b"), ("b", "c")]
