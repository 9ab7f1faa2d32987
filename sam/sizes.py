"""How large is what `sam build` made? Lambda takes a function and its layer up to 250 MB unzipped.

https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html. Run by `make sam`; exit code 1 when a
function is too large.
"""

import sys
from pathlib import Path

BUILT = Path(__file__).parents[1] / ".aws-sam" / "build"
LAYER = "DriftwheelLayer"
LIMIT_BYTES = 262_144_000


def unzipped(folder: Path) -> int:
    """Add up the files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main(built: Path = BUILT) -> int:
    """Print every part's size and what Lambda counts: the function together with the layer."""
    layer = unzipped(built / LAYER)
    too_large = 0
    for folder in sorted(path for path in built.iterdir() if path.is_dir()):
        size = unzipped(folder)
        counted = size if folder.name == LAYER else size + layer
        too_large += counted > LIMIT_BYTES
        verdict = "TOO LARGE" if counted > LIMIT_BYTES else ""
        print(f"{folder.name:24} {size / 1e6:8.1f} MB {counted / 1e6:8.1f} MB counted {verdict}".rstrip())
    return 1 if too_large else 0


if __name__ == "__main__":
    sys.exit(main())
