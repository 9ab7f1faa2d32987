"""A child process that reads one file under an address space limit, and says what became of it as JSON.

Usage: python reading.py FILE FORMAT MEBIBYTES
"""

import json
import resource
import sys
from pathlib import Path


def main(path: Path, kind: str, mebibytes: int) -> None:
    import duckdb

    from driftwheel.sources.file import SourceFile
    from driftwheel.sources.kinds import load
    from driftwheel.sources.refusal import Unreadable
    from driftwheel.spec import Source

    resource.setrlimit(resource.RLIMIT_AS, (mebibytes << 20, mebibytes << 20))
    source = Source.model_validate({"prefix": "data/m/", "key": ["id"], "format": kind})
    config = {"memory_limit": "300MB", "threads": 2, "temp_directory": str(path.parent / "spill")}
    answer: dict[str, object]
    with duckdb.connect(str(path.parent / "rows.duckdb"), config=config) as connection:
        connection.execute("CREATE TABLE source (id VARCHAR, place VARCHAR, __file INTEGER, __line BIGINT)")
        try:
            loaded = load(
                connection, SourceFile(path, f"data/m/{path.name}", 0), source, ["id", "place"], "source"
            )
        except Unreadable as error:
            answer = error.refusal.facts()
        else:
            lines = connection.execute("SELECT id, __line FROM source ORDER BY __line LIMIT 9").fetchall()
            bad = [[line.line, line.reason] for line in loaded.bad_lines]
            answer = {"rows": loaded.rows, "first": lines, "bad_lines": bad, "bad": loaded.bad_line_count}
    # Not ru_maxrss: that begins with what the parent held when it forked.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    peak = next(int(line.split()[1]) >> 10 for line in status.splitlines() if line.startswith("VmHWM"))
    sys.stdout.write(json.dumps(answer | {"peak_mebibytes": peak}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
