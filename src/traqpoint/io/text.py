"""Text files of numbers, as most calibrations, poses and lists are."""

from __future__ import annotations

import math
from pathlib import Path

from traqpoint.errors import FormatError


def read_lines(path: str | Path) -> list[str]:
    """Raises FormatError naming the file if it cannot be read as UTF-8."""
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise FormatError(f"{path}: cannot be read (not a text file)") from None
    except OSError as error:
        raise FormatError(f"{path}: cannot be read ({error.strerror})") from None


def read_rows(path: str | Path, *columns: int) -> list[tuple[int, list[float]]]:
    """(line number, numbers) of every line of a text file that is neither empty nor a comment (#); at least one.

    columns: how many numbers a line may have, separated by blanks or commas. Raises FormatError naming the file and
    the line.
    """
    rows = []
    for number, line in enumerate(read_lines(path), start=1):
        words = line.replace(",", " ").split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) not in columns:
            raise FormatError(f"{path}:{number}: expected {' or '.join(map(str, columns))} numbers, got {len(words)}")
        try:
            values = [float(word) for word in words]
        except ValueError:
            raise FormatError(f"{path}:{number}: not numbers: {line.strip()[:60]}") from None
        if not all(map(math.isfinite, values)):
            raise FormatError(f"{path}:{number}: NaN or infinity (leave frames without a pose out)")
        rows.append((number, values))
    if not rows:
        raise FormatError(f"{path}: no numbers in this file")
    return rows
