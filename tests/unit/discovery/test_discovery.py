"""A first look: what it proposes prepares the very file it came from, and it asks where it cannot know."""

import gzip
import json
from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner

from driftwheel.dataset import DataFile, Inputs, prepare
from driftwheel.discovery.draft import draft
from driftwheel.discovery.spellings import near_duplicates
from driftwheel.discovery.survey import survey
from driftwheel.errors import SpecInvalid
from driftwheel.sources.refusal import Unreadable
from driftwheel.spec import load_spec
from driftwheel_cli.main import cli

HEADER = "order_id,zip,country,when,price_usd,temp_f,segment,paid,flag,always,late"


def rows(count: int = 400) -> list[str]:
    countries = ["US", "US", "U.S.", "Germany", "germany ", "NA"]
    return [
        f"{n:020d},0{n % 90:04d},{countries[n % 6]},{1 + n % 28:02d}/{1 + n % 12:02d}/2024,"
        f'"${1000 + n:,}.50",{-999 if n % 50 == 0 else 20 + n % 60},'
        f"s{n % 7},{n % 3 == 0},{n % 2},x,{int(n % 4 == 0)}"
        for n in range(count)
    ]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "orders.csv"
    path.write_text("\n".join([HEADER, *rows(), ""]), encoding="utf-8")
    return path


def looked(path: Path, folder: Path, target: str | None = None):
    work = folder / "work"
    work.mkdir(exist_ok=True)
    for old in work.iterdir():
        old.unlink()
    return survey([path], work, target)


def prepared(text: str, path: Path, folder: Path, name: str = "data/orders/orders.csv"):
    spec = load_spec(text)
    out = folder / "out"
    out.mkdir()
    copy = out / "copy"
    copy.write_bytes(path.read_bytes())
    return spec, prepare(spec, Inputs(files=[DataFile("source", name, copy)]), out, memory_mb=300)


def test_a_draft_is_accepted_and_prepares_the_file_it_came_from(table: Path, tmp_path: Path) -> None:
    found = looked(table, tmp_path)
    text = draft(found, "orders")
    spec, result = prepared(text, table, tmp_path)

    assert result.outcome == "ready", result.problem
    assert result.rows["rejected"] == 0
    assert found.key == ["order_id"]
    types = {name: column.type for name, column in spec.columns.items()}
    assert types["order_id"] == types["zip"] == "category"
    assert (types["when"], types["price_usd"], types["temp_f"]) == ("timestamp", "number", "integer")
    assert (types["paid"], types["flag"], types["late"]) == ("boolean", "boolean", "boolean")
    assert spec.columns["when"].forms == ["DD/MM/YYYY"]
    assert spec.columns["price_usd"].notation is not None
    assert spec.columns["country"].null_tokens == [""], "NA among countries is Namibia"
    assert spec.target.column == "late"


def test_what_only_a_person_can_know_is_a_comment(table: Path, tmp_path: Path) -> None:
    text = draft(looked(table, tmp_path), "orders")

    assert '"U.S." seen 67×, nearest US' in text  # noqa: RUF001
    assert "germany seen 66×, nearest Germany" in text  # noqa: RUF001
    assert not load_spec(text).columns["country"].canonical, "suggested, never applied"
    assert "-999 stands 8 times far outside the others" in text
    assert "unit: degF?" in text
    assert "unit: USD?" in text
    assert "the same in every row" in text
    assert load_spec(text).columns["always"].feature is False
    assert "choose another with --target" in text


def test_a_column_that_tells_the_answer_is_suspected(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    lines = [f"{n},{n % 4 == 0},{(n % 4 == 0) * 50 + n % 7},{n * 37 % 101}" for n in range(500)]
    path.write_text("\n".join(["id,late,arr_delay,size", *lines]), encoding="utf-8")

    found = looked(path, tmp_path, "late")

    assert list(found.leaking) == ["arr_delay"]
    assert "SUSPECT: alone it tells late" in draft(found, "t")


def test_numbers_two_words_and_one_of_several_words_are_targets(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    lines = [f"k{n},{n * 1.5},{'yes' if n % 3 else 'no'},{'abc'[n % 3]}" for n in range(300)]
    path.write_text("\n".join(["id,amount,answer,kind", *lines]), encoding="utf-8")

    assert load_spec(draft(looked(path, tmp_path, "amount"), "t")).target.kind == "regression"
    spec, result = prepared(draft(looked(path, tmp_path, "answer"), "t"), path, tmp_path, "data/t/t.csv")
    assert spec.target.expression == "answer = 'no'"
    assert result.positives == pytest.approx(1 / 3)
    text = draft(looked(path, tmp_path, "kind"), "t")
    assert "3 answers (a 100\N{MULTIPLICATION SIGN}, b 100" in text
    assert load_spec(text).target.expression == "kind = 'a'"
    with pytest.raises(SpecInvalid, match="300 different values"):
        draft(looked(path, tmp_path, "id"), "t")
    with pytest.raises(SpecInvalid, match="there is no such column"):
        looked(path, tmp_path, "nope")


def test_json_lines_parquet_gzip_and_other_delimiters_are_found_out(table: Path, tmp_path: Path) -> None:
    packed = tmp_path / "orders.csv.gz"
    packed.write_bytes(gzip.compress(table.read_bytes()))
    lines = tmp_path / "o.jsonl"
    lines.write_text(
        "".join(json.dumps({"id": n, "label": n % 3 == 0, "x": n / 7}) + "\n" for n in range(300))
    )
    parquet = tmp_path / "o.parquet"
    duckdb.sql(
        f"COPY (SELECT range AS id, range % 3 = 0 AS label, range / 7 AS x FROM range(300)) TO '{parquet}'"
    )
    semicolons = tmp_path / "o.csv"
    semicolons.write_text("id;label;x\n" + "".join(f"{n};{n % 3 == 0};{n},5\n" for n in range(300)))

    assert looked(packed, tmp_path).key == ["order_id"]
    for n, path in enumerate((lines, parquet, semicolons)):
        folder = tmp_path / str(n)
        folder.mkdir()
        text = draft(looked(path, folder), "o")
        spec, result = prepared(text, path, folder, "data/o/o")
        assert (spec.source.key, spec.target.column, spec.columns["x"].type) == (["id"], "label", "number")
        assert result.outcome == "ready", result.problem


def test_hostile_names_and_values_are_data(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    odd = ["<script>alert(1)</script>", "a: b # c", '"}]', "- x", "é\u2028", "'; DROP TABLE raw; --"]
    cells = [odd[n % 6].replace('"', '""') for n in range(300)]
    body = "".join(f'{n},"{cells[n]}",{n % 2}\n' for n in range(300))
    path.write_text('id,"on",label,"<b>x</b>"\n'.replace(',"<b>x</b>"', "") + body, encoding="utf-8")

    text = draft(looked(path, tmp_path), "t")

    assert set(load_spec(text).columns) == {"id", "on", "label"}
    answer = CliRunner().invoke(cli, ["profile", str(path), "--output", str(tmp_path / "out")])
    assert answer.exit_code == 0, answer.output
    page = (tmp_path / "out/profile.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "default-src 'none'" in page


def test_a_column_without_a_usable_name_is_named_and_left_out(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(
        "id,unit price,label\n" + "".join(f"{n},{n},{n % 2}\n" for n in range(300)), encoding="utf-8"
    )

    text = draft(looked(path, tmp_path), "t")

    assert "column 'unit price' is left out: rename it" in text
    assert set(load_spec(text).columns) == {"id", "label"}


def test_a_file_that_cannot_be_read_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"")
    with pytest.raises(Unreadable, match="is empty"):
        looked(path, tmp_path)
    answer = CliRunner().invoke(cli, ["profile", str(path)])
    assert answer.exit_code == 1
    assert "empty-file" in answer.output


def test_the_command_overwrites_nothing_unasked(table: Path, tmp_path: Path) -> None:
    arguments = ["profile", str(table), "--output", str(tmp_path / "out"), "--target", "paid"]
    first = CliRunner().invoke(cli, arguments)
    second = CliRunner().invoke(cli, arguments)
    third = CliRunner().invoke(cli, [*arguments, "--force"])

    assert (first.exit_code, second.exit_code, third.exit_code) == (0, 1, 0), first.output
    assert "exists" in second.output
    assert load_spec((tmp_path / "out/model.yaml").read_text()).target.column == "paid"


def test_spellings_are_near_when_case_punctuation_or_a_letter_differs() -> None:
    counted = [
        ("Germany", 90),
        ("United States", 80),
        ("germany", 9),
        ("Germny", 3),
        ("UNITED-STATES", 2),
        ("AL", 2),
    ]
    counted += [("AK", 1), ("city 1", 1), ("city 2", 1)]

    assert [(one.spelling, one.nearest) for one in near_duplicates(counted)] == [
        ("germany", "Germany"),
        ("Germny", "Germany"),
        ("UNITED-STATES", "United States"),
    ]


def test_without_a_likely_answer_the_last_column_that_could_be_one_is_proposed(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    body = "".join(f"{n:020d},{n % 5},{n % 90 / 7}\n" for n in range(300))
    path.write_text(f"id,size,delay\n{body}", encoding="utf-8")

    text = draft(looked(path, tmp_path), "t")

    assert load_spec(text).target.column == "delay"
    assert "choose another with --target" in text


def test_two_numbers_are_the_classes_of_an_answer(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    body = "".join(f"{n:020d},{n % 90},{1 + (n % 4 == 0)}\n" for n in range(400))
    path.write_text(f"id,size,code\n{body}", encoding="utf-8")

    spec, result = prepared(draft(looked(path, tmp_path, "code"), "t"), path, tmp_path, "data/t/t.csv")

    assert spec.target.expression == "code = 2"
    assert result.outcome == "ready", result.problem
    assert result.positives == pytest.approx(1 / 4)


def test_several_words_are_told_apart_one_from_the_rest_and_leaks_of_it_are_found(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    lines = [f"{n:05d},{'abcd'[n % 4]},{n % 4 * 10 + n % 3},{n * 37 % 101}" for n in range(800)]
    path.write_text("\n".join(["id,kind,code,size", *lines]), encoding="utf-8")

    found = looked(path, tmp_path, "kind")
    spec, result = prepared(draft(found, "t"), path, tmp_path, "data/t/t.csv")

    assert list(found.leaking) == ["code"]
    assert result.outcome == "ready", result.problem
    assert result.positives == pytest.approx(1 / 4)
    assert spec.columns["kind"].feature is False


def test_without_a_key_all_that_tells_rows_apart_is_the_key_and_the_draft_says_what_that_costs(
    tmp_path: Path,
) -> None:
    path = tmp_path / "t.csv"
    lines = [f"{n % 7},{n % 11},{n % 13},{n % 2},{n % 3},{n / 7},{n % 5 == 0}" for n in range(900)]
    path.write_text("\n".join(["a,b,c,d,e,price,label", *lines]), encoding="utf-8")

    found = looked(path, tmp_path)
    text = draft(found, "t")
    spec, result = prepared(text, path, tmp_path, "data/t/t.csv")

    assert "Better add an id to the export" not in text, "four columns name each of these rows"
    assert set(spec.source.key) == {"a", "b", "c"}
    path.write_text("\n".join(["a,b,c,d,e,price,label", *lines, *lines[:40]]), encoding="utf-8")
    text = draft(looked(path, tmp_path), "t")
    (tmp_path / "again").mkdir()
    spec, result = prepared(text, path, tmp_path / "again", "data/t/t.csv")

    assert "Better add an id to the export" in text
    assert "40 rows repeat a key" in text
    assert result.outcome == "ready", result.problem
    assert result.rows["duplicates"] == 40
    assert set(spec.source.key) == {"a", "b", "c"}, "what tells no rows apart is left out of it"


def test_days_on_which_calendars_begin_and_columns_written_afterwards_are_pointed_at(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    lines = [
        f"{n:05d},{'01/01/1900' if n % 40 == 0 else f'{1 + n % 28:02d}/03/2023'},{n % 9},"
        f"{'2024-02-01' if n % 5 == 0 else ''},{n * 31 % 17},{'yes' if n % 5 == 0 else 'no'}"
        for n in range(600)
    ]
    header = "id,since,calls_after,churn_date,calls,churned"
    path.write_text("\n".join([header, *lines]), encoding="utf-8")

    found = looked(path, tmp_path)
    text = draft(found, "t")

    assert '1900-01-01 stands 15 times: a word for missing? then null_tokens: ["", "1900-01-01"]' in text
    assert "'after' in its name: is it known only after the answer?" in text
    assert "'churn' in its name sounds like churned" in text
    assert found.leaking == {"churn_date": 1.0}, "that it has a value tells"
    assert "whether it has a value already tells churned" in text
    assert not found.column("calls").notes
    _, result = prepared(
        text.replace("since: {type: timestamp", 'since: {type: timestamp, null_tokens: ["", "1900-01-01"]'),
        path,
        tmp_path,
        "data/t/t.csv",
    )
    assert result.outcome == "ready", result.problem
    profile = json.loads((tmp_path / "out/profile.json").read_text())
    assert profile["rejected_by_rule"] == {"since: time missing": 15}, "the word is read as it was meant"


def test_initials_are_near_the_words_they_stand_for() -> None:
    counted = [("US", 900), ("U.S.A.", 41), ("United Kingdom", 30), ("UK", 20), ("AA", 9), ("AAL", 8)]

    assert [(one.spelling, one.times, one.nearest) for one in near_duplicates(counted)] == [
        ("U.S.A.", 41, "US"),
        ("UK", 20, "United Kingdom"),
    ]
