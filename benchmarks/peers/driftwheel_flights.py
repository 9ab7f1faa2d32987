"""Driftwheel's own: ``dataset.prepare`` of the flights example, both sources, as a run does it."""

import json
import shutil
import sys
from pathlib import Path

from driftwheel.dataset import DataFile, Inputs, prepare
from driftwheel.spec import load_spec

out, *sources, memory = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
spec = load_spec((Path(__file__).parents[2] / "examples/flights/model.yaml").read_bytes())
roles = {"source": "data/flights/2013.csv", "enrich-0": "data/flights-weather/2013.csv"}
files = []
for (role, key), source in zip(roles.items(), sources, strict=True):
    copy = out / role  # prepare removes the copy it has read
    shutil.copyfile(source, copy)
    files.append(DataFile(role, key, copy))
found = prepare(spec, Inputs(files=files), out, memory_mb=memory)
if found.outcome != "ready":
    sys.exit(str(found.problem or found.refused))
print(json.dumps({"splits": {name: found.rows[name] for name in ("train", "validation", "holdout")}}))
