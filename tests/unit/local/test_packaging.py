import sys
import threading
import time
import zipfile
from pathlib import Path

import pytest

from driftwheel_local import packaging


@pytest.fixture
def project(tmp_path):
    _write(tmp_path / "src" / "pkg" / "__init__.py", "NAME = 'pkg'\n")
    _write(tmp_path / "src" / "pkg.egg-info" / "PKG-INFO", "not shipped\n")
    _write(tmp_path / "src" / "pkg" / "__pycache__" / "stale.cpython-311.pyc", "not shipped\n")
    _write(tmp_path / "src" / "requirements.txt", "\n")
    _write(tmp_path / "functions" / "one" / "app.py", "def handler(event, context): return 1\n")
    return tmp_path


def _write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _wheel(folder):
    wheel = folder / "tinydep-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tinydep/__init__.py", "VALUE = 7\n")
        about = "tinydep-1.0.dist-info"
        archive.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: tinydep\nVersion: 1.0\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")
    return wheel


def _template(**function):
    return {
        "Globals": {"Function": {"Layers": [{"Ref": "Layer"}]}},
        "Resources": {
            "Layer": {
                "Type": "AWS::Serverless::LayerVersion",
                "Metadata": {"BuildMethod": "python3.11"},
                "Properties": {"ContentUri": "src/"},
            },
            "One": {
                "Type": "AWS::Serverless::Function",
                "Properties": {"CodeUri": "functions/one/"} | function,
            },
            "Bucket": {"Type": "AWS::S3::Bucket"},
        },
    }


def test_a_layer_lies_below_python_and_a_function_at_the_top(project):
    built = packaging.build(project, _template(), project / "build")

    assert set(built) == {"Layer", "One"}
    assert (built["Layer"] / "python" / "pkg" / "__init__.py").read_text() == "NAME = 'pkg'\n"
    assert (built["One"] / "app.py").is_file()
    assert (project / "build" / "One").resolve() == built["One"]


def test_caches_and_egg_info_are_not_shipped(project):
    built = packaging.build(project, _template(), project / "build")

    assert not (built["Layer"] / "python" / "pkg.egg-info").exists()
    assert not (built["Layer"] / "python" / "pkg" / "__pycache__" / "stale.cpython-311.pyc").exists()


def test_bytecode_is_compiled_so_that_no_worker_compiles(project):
    built = packaging.build(project, _template(), project / "build")

    assert [*(built["One"] / "__pycache__").glob("app.*.pyc")]


def test_an_unchanged_project_is_not_built_again(project):
    first = packaging.build(project, _template(), project / "build")
    stamp = (first["Layer"] / "python").stat().st_mtime_ns

    started = time.perf_counter()
    second = packaging.build(project, _template(), project / "build")

    assert time.perf_counter() - started < 0.3
    assert second == first
    assert (second["Layer"] / "python").stat().st_mtime_ns == stamp


def test_a_changed_source_file_is_picked_up_and_the_old_build_stays_for_who_runs_it(project):
    first = packaging.build(project, _template(), project / "build")
    _write(project / "functions" / "one" / "app.py", "def handler(event, context): return 2\n")

    second = packaging.build(project, _template(), project / "build")

    assert "return 2" in (second["One"] / "app.py").read_text()
    assert "return 1" in (first["One"] / "app.py").read_text()
    assert second["Layer"] == first["Layer"]


def test_requirements_are_installed_into_the_part_that_asks_for_them(project):
    dependency = _wheel(project)
    _write(project / "functions" / "one" / "requirements.txt", f"tinydep @ {dependency.as_uri()}\n")

    built = packaging.build(project, _template(), project / "build")

    assert (built["One"] / "tinydep" / "__init__.py").is_file()
    assert not (built["Layer"] / "python" / "tinydep").exists()


def test_a_function_that_sam_builds_by_make_is_installed_here_without_its_makefile(project):
    _write(project / "functions" / "one" / "requirements.txt", f"tinydep @ {_wheel(project).as_uri()}\n")
    _write(project / "functions" / "one" / "Makefile", "build-One:\n\tfalse\n")
    template = _template()
    template["Resources"]["One"]["Metadata"] = {"BuildMethod": "makefile"}

    built = packaging.build(project, template, project / "build")

    assert (built["One"] / "tinydep" / "__init__.py").is_file()
    assert not (built["One"] / "Makefile").exists()


def test_a_requirement_that_cannot_be_installed_names_the_function_and_leaves_no_half_build(project):
    _write(project / "functions" / "one" / "requirements.txt", "nothere @ file:///nowhere/at/all\n")

    with pytest.raises(packaging.PackagingError, match=r"One: .*requirements\.txt cannot be installed"):
        packaging.build(project, _template(), project / "build")

    assert [*(project / "build" / "builds").glob("*One-*")] == []


def test_two_stacks_may_build_at_once(project):
    answers = []
    threads = [
        threading.Thread(
            target=lambda: answers.append(packaging.build(project, _template(), project / "build"))
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(answers) == 4
    assert all(answer == answers[0] for answer in answers)
    assert [*(project / "build" / "builds").glob(".*")] == []


def test_sizes_count_what_aws_unzips_without_bytecode(project):
    packaging.build(project, _template(), project / "build")

    expected = (project / "functions" / "one" / "app.py").stat().st_size
    assert packaging.sizes(project / "build")["One"] == expected


def test_a_part_that_left_the_template_is_no_longer_reported(project):
    packaging.build(project, _template(), project / "build")
    template = _template()
    del template["Resources"]["One"]

    packaging.build(project, template, project / "build")

    assert set(packaging.sizes(project / "build")) == {"Layer"}


def test_a_function_larger_than_aws_allows_is_refused_with_its_largest_packages(project, monkeypatch):
    monkeypatch.setattr(packaging, "UNZIPPED_LIMIT_BYTES", 10)

    with pytest.raises(packaging.PackagingError, match=r"One: \d+ bytes unzipped.*app\.py"):
        packaging.build(project, _template(), project / "build")


def test_a_code_path_that_is_no_folder_is_refused_by_name(project):
    with pytest.raises(packaging.PackagingError, match="One: CodeUri names functions/two/"):
        packaging.build(project, _template(CodeUri="functions/two/"), project / "build")


@pytest.mark.parametrize(("part", "method"), [("Layer", "makefile"), ("One", "python3.12")])
def test_a_build_method_we_do_not_know_is_refused(project, part, method):
    template = _template()
    template["Resources"][part]["Metadata"] = {"BuildMethod": method}

    with pytest.raises(packaging.PackagingError, match=f"{part}: BuildMethod {method}"):
        packaging.build(project, template, project / "build")


def test_the_runtime_folder_holds_the_runtime_client_and_nothing_of_the_tools(tmp_path):
    folder = packaging.runtime(tmp_path)

    assert (folder / "awslambdaric" / "bootstrap.py").is_file()
    assert not (folder / "pytest").exists()
    assert {path.name for path in folder.iterdir() if path.is_dir() and "dist-info" not in path.name} <= {
        "awslambdaric",
        "simplejson",
        "__pycache__",
    }
    assert Path(sys.prefix) not in folder.parents
