"""Collecting holds a batch of pixels in memory, however many pictures there are."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.image_classification.picture_folder import collected, picture
from tests.imports import ROOT

SIDE = 96  # pixels, as the network reads them: 27 KiB an image in colour
FEW, MANY, VERY_MANY = 1_000, 2_000, 20_000
GROWTH_MAX = 13  # MiB; 1,000 more images are 26, were they kept, 18,000 more 475


def copies(root: Path, count: int) -> Path:
    """`count` files of one small picture in each of two classes."""
    drawn = root / "drawn.jpg"
    root.mkdir()
    picture(0, 1).save(drawn)
    content = drawn.read_bytes()
    for name in ("dark", "light"):
        (root / "pictures" / name).mkdir(parents=True)
        for i in range(count // 2):
            (root / "pictures" / name / f"{i:06}.jpg").write_bytes(content)
    return root


def peak(root: Path) -> float:
    """MiB that a process of its own takes at most to collect the pictures below `root`."""
    done = subprocess.run(
        [sys.executable, "-m", __name__, str(root)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def test_memory_does_not_grow_with_the_pictures(tmp_path: Path) -> None:
    few, many = (peak(copies(tmp_path / str(count), count)) for count in (FEW, MANY))
    assert many - few < GROWTH_MAX, (few, many)


@pytest.mark.slow
def test_memory_does_not_grow_with_ten_times_as_many_pictures(tmp_path: Path) -> None:
    many, more = (peak(copies(tmp_path / str(count), count)) for count in (MANY, VERY_MANY))
    assert more - many < 2 * GROWTH_MAX, (many, more)


if __name__ == "__main__":
    collected(Path(sys.argv[1]), side=SIDE)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)  # Linux counts in KiB
