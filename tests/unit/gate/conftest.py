import csv
import gzip
import io

import pytest


@pytest.fixture
def predictions_file():
    """Build predictions.csv.gz from columns; a champion of None is an empty column."""

    def build(labels, challenger, champion=None, **slices):
        rows = len(labels)
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        writer.writerow(["key", "label", "challenger", "champion", *(f"slice.{name}" for name in slices)])
        for n in range(rows):
            score = "" if champion is None else repr(float(champion[n]))
            cells = [values[n] for values in slices.values()]
            writer.writerow([f"k{n:06}", float(labels[n]), repr(float(challenger[n])), score, *cells])
        return gzip.compress(text.getvalue().encode(), mtime=0)

    return build
