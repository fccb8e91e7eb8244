"""How much memory a piece of code needs, where the system says it (Linux)."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class Peak:
    """mb: by how much this process has grown at most since the block began, in MB."""

    mb = 0.0


@contextmanager
def peak_memory() -> Iterator[Peak]:
    """Measures its block; skips the test where the kernel does not tell."""
    try:
        _RESET.write_text("5")
    except OSError:
        pytest.skip("the peak of a process's memory cannot be read here")
    before, peak = _megabytes("VmRSS"), Peak()
    yield peak
    peak.mb = _megabytes("VmHWM") - before


def _megabytes(key: str) -> float:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(key))
    return int(line.split()[1]) / 1024
