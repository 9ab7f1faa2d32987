from driftwheel_cli.report.page import write_report


class Stored(dict):
    def exists(self, uri):
        return str(uri) in self

    def read_json(self, uri):
        return self[str(uri)]


def test_one_runs_prefix_is_read_and_its_absent_parts_are_named(tmp_path):
    root = "s3://artifacts/runs/flights/ab12"
    stored = Stored(
        {
            f"{root}/run.json": {
                "model": "flights",
                "run_id": "ab12",
                "started": {"kind": "manual", "reason": "asked", "at": "2026-01-01"},
                "record_outcome": {"status": "refused", "sentence": "no rows", "at": "2026-01-01"},
            },
            f"{root}/preprocessing/profile.json": {"rows": {"read": 12345}},
        }
    )
    path = write_report(stored, "artifacts", "flights", "ab12", tmp_path / "run.html")
    page = path.read_text(encoding="utf-8")
    assert "flights: refused" in page
    assert "12,345" in page
    assert "evaluation not recorded" in page
