"""The limit: pyarrow parses every cell of the file to text and does nothing else."""

import json
import sys

import pyarrow as pa
import pyarrow.csv as pc

names = open(sys.argv[2]).readline().strip().split(",")
types = pc.ConvertOptions(column_types={name: pa.string() for name in names})
print(json.dumps({"rows": sum(batch.num_rows for batch in pc.open_csv(sys.argv[2], convert_options=types))}))
