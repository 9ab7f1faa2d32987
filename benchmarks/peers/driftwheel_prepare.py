"""Driftwheel's own: ``dataset.prepare`` on the same file, checks, profile and golden records included."""

import json
import sys
from pathlib import Path

from driftwheel.dataset import DataFile, Inputs, prepare
from driftwheel.spec import load_spec

out, source, memory = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
spec = load_spec((Path(__file__).parent.parent / "model.yaml").read_bytes())
copy = out / "events.csv"
copy.hardlink_to(source)  # prepare removes the copy it has read
found = prepare(
    spec, Inputs(files=[DataFile("source", "data/events/events.csv", copy)]), out, memory_mb=memory
)
if found.outcome != "ready":
    sys.exit(str(found.problem or found.refused))
print(json.dumps({"splits": {name: found.rows[name] for name in ("train", "validation", "holdout")}}))
