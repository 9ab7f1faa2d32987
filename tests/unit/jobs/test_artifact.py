import hashlib
import io
import json
import random
import tarfile

import pytest

from driftwheel.errors import ArtifactInvalid
from driftwheel.jobs import artifact
from driftwheel.jobs.artifact import Limits, check, describe, extract, read_members, verify

CONTENT = {
    "model.json": b'{"learner": {}}',
    "recipe.json": b"{}",
    "params.json": b"{}",
    "golden.jsonl": b'{"record": {}, "features": {}}\n',
    "code/serve.py": b"import driftwheel\n",
    "code/driftwheel/jobs/serve.py": b"",
}


def manifest_of(content):
    files = {
        name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
        for name, data in content.items()
    }
    return json.dumps({"files": files}).encode()


@pytest.fixture
def archive(tmp_path):
    """Write model.tar.gz from plain files and hand-made members."""

    def build(content, *members, manifest=None):
        path = tmp_path / "model.tar.gz"
        content = {**content, "manifest.json": manifest or manifest_of(content)}
        with tarfile.open(path, "w:gz") as tar:
            for name, data in content.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
            for member in members:
                tar.addfile(member, io.BytesIO(b"x" * member.size))
        return path

    return build


def member(name, kind=tarfile.REGTYPE, link="", size=0):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, size
    return info


def test_an_artifact_of_ours_is_unpacked_and_checked(archive, tmp_path):
    extract(archive(CONTENT), tmp_path / "model")

    assert {name: (tmp_path / "model" / name).read_bytes() for name in CONTENT} == CONTENT


@pytest.mark.case("SE-01")
@pytest.mark.parametrize(
    "hostile",
    [
        member("../evil"),
        member("code/../../evil.py"),
        member("code/evil.py", tarfile.SYMTYPE, "/etc/passwd"),
        member("code/evil.py", tarfile.LNKTYPE, "../../etc/passwd"),
        member("code/evil.py", tarfile.CHRTYPE),
        member("code/evil.py", tarfile.BLKTYPE),
        member("code/evil.py", tarfile.FIFOTYPE),
        member("../folder", tarfile.DIRTYPE),
    ],
    ids=["dots", "inner dots", "symlink", "hard link", "character device", "block device", "fifo", "folder"],
)
def test_a_member_that_is_no_plain_file_inside_refuses_the_whole_artifact(archive, tmp_path, hostile):
    with pytest.raises(ArtifactInvalid, match=r"model\.tar\.gz holds"):
        extract(archive(CONTENT, hostile), tmp_path / "model")

    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / "model.tar.gz"]


@pytest.mark.case("SE-02")
@pytest.mark.parametrize(
    "name", ["/tmp/evil.py", "//model.json", "code\\..\\evil.py", "C:/evil.py", "~/evil.py"]
)
def test_an_absolute_name_is_refused_although_tarfile_would_strip_it(archive, tmp_path, name):
    with pytest.raises(ArtifactInvalid, match="holds"):
        extract(archive(CONTENT, member(name)), tmp_path / "model")


@pytest.mark.case("SE-02")
def test_members_bytes_and_ratio_are_capped_while_unpacking(archive, tmp_path):
    bomb = archive(CONTENT, member("code/zeros.py", size=3_000_000))

    for limits, word in (
        (Limits(members=3), "members"),
        (Limits(total_bytes=1_000_000), "bytes"),
        (Limits(ratio=100, ratio_applies_above=1_000_000), "times its size"),
    ):
        with pytest.raises(ArtifactInvalid, match=word):
            list(read_members(bomb, limits))


def test_an_artifact_of_ours_is_verified_as_it_is_read(archive, tmp_path):
    packed = archive(CONTENT)

    with packed.open("rb") as stream:
        verify(stream, "model.tar.gz", packed.stat().st_size, "")

    assert list(tmp_path.iterdir()) == [packed], "nothing is written"


@pytest.mark.case("SM-07")
@pytest.mark.parametrize("eighths", range(8))
def test_an_artifact_that_was_cut_anywhere_is_refused_however_it_is_read(archive, tmp_path, eighths):
    content = {
        **CONTENT,
        "model.json": b'{"x": "' + random.Random(1).randbytes(30_000).hex().encode() + b'"}',
    }
    whole = archive(content).read_bytes()
    cut = tmp_path / "model.tar.gz"
    cut.write_bytes(whole[: len(whole) * eighths // 8])

    with cut.open("rb") as stream, pytest.raises(ArtifactInvalid):
        verify(stream, "model.tar.gz", len(whole), "")
    with pytest.raises(ArtifactInvalid):
        extract(cut, tmp_path / "model")


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"params.json": b"[]"}, "params.json is not the file its manifest describes"),
        ({"code/other.py": b""}, "which its manifest does not list"),
    ],
)
def test_what_extract_refuses_verify_refuses(archive, changed, sentence):
    packed = archive(CONTENT | changed, manifest=manifest_of(CONTENT))

    with packed.open("rb") as stream, pytest.raises(ArtifactInvalid, match=sentence):
        verify(stream, "model.tar.gz", packed.stat().st_size, "")


@pytest.mark.case("SE-03")
@pytest.mark.parametrize(
    "name",
    [
        "model.pkl",
        "model.joblib",
        "weights.npy",
        "model.pt",
        "model.ubj",
        "xgboost-model",
        "inference.py",
        "code/__pycache__/serve.cpython-311.pyc",
        "code/evil.so",
        "code/requirements.txt",
        "code/setup.py/x.sh",
    ],
)
def test_a_file_of_an_unknown_name_refuses_the_whole_artifact(archive, tmp_path, name):
    with pytest.raises(ArtifactInvalid, match="no part of a model artifact"):
        extract(archive({**CONTENT, name: b"x"}), tmp_path / "model")


@pytest.mark.case("SE-03")
def test_code_that_the_build_did_not_list_is_refused(archive, tmp_path):
    with pytest.raises(ArtifactInvalid, match=r"code/inference\.py, which its manifest does not list"):
        extract(
            archive({**CONTENT, "code/inference.py": b"x"}, manifest=manifest_of(CONTENT)), tmp_path / "model"
        )


@pytest.mark.case("SE-03")
def test_a_pickle_under_the_name_of_a_model_is_refused_by_its_first_byte(archive, tmp_path):
    with pytest.raises(ArtifactInvalid, match=r"model\.json is not JSON"):
        extract(archive({**CONTENT, "model.json": b"\x80\x04\x95"}), tmp_path / "model")


@pytest.mark.case("SE-04")
@pytest.mark.parametrize("name", CONTENT)
def test_one_flipped_bit_is_refused_before_anything_is_parsed(archive, tmp_path, name):
    flipped = bytes([CONTENT[name][0] ^ 1]) + CONTENT[name][1:] if CONTENT[name] else b"\n"
    path = archive({**CONTENT, name: flipped}, manifest=manifest_of(CONTENT))

    with pytest.raises(ArtifactInvalid, match=f"{name} is not the file its manifest describes"):
        extract(path, tmp_path / "model")


def sha256_of(manifest):
    return hashlib.sha256(manifest).hexdigest()


def verify_file(path, recorded):
    with path.open("rb") as stream:
        verify(stream, path.name, path.stat().st_size, recorded)


@pytest.mark.case("SE-04")
def test_a_replaced_archive_that_is_consistent_inside_is_not_the_judged_one(archive, tmp_path):
    recorded = sha256_of(manifest_of(CONTENT))
    extract(archive(CONTENT), tmp_path / "judged", recorded)
    verify_file(archive(CONTENT), recorded)
    replaced = archive({**CONTENT, "model.json": b'{"learner": {"evil": 1}}'})

    for read in (
        lambda: extract(replaced, tmp_path / "model", recorded),
        lambda: verify_file(replaced, recorded),
    ):
        with pytest.raises(ArtifactInvalid, match="not the one that was judged"):
            read()
    assert not [path for path in (tmp_path / "model").rglob("*") if path.is_file()]


@pytest.mark.parametrize("gone", ["model.json", "code/serve.py", "golden.jsonl"])
def test_a_missing_file_is_named(archive, tmp_path, gone):
    rest = {name: data for name, data in CONTENT.items() if name != gone}

    with pytest.raises(ArtifactInvalid, match=f"lacks {gone}"):
        extract(archive(rest, manifest=manifest_of(CONTENT)), tmp_path / "model")


def test_an_artifact_without_a_manifest_was_never_finished(tmp_path):
    (tmp_path / "model.json").write_text("{}")

    with pytest.raises(ArtifactInvalid, match="never finished"):
        check(tmp_path)


@pytest.mark.parametrize("manifest", [b"{}", b"[]", b'{"files": []}', b"{", b"[" * 100_000])
def test_a_damaged_manifest_is_a_clean_error(archive, tmp_path, manifest):
    with pytest.raises(ArtifactInvalid, match=r"manifest\.json is damaged"):
        extract(archive(CONTENT, manifest=manifest), tmp_path / "model")


def test_a_name_twice_is_refused(archive, tmp_path):
    with pytest.raises(ArtifactInvalid, match="twice"):
        extract(archive(CONTENT, member("model.json")), tmp_path / "model")


def test_forty_damaged_archives_give_forty_clean_errors(archive, tmp_path):
    generator = random.Random(7)
    whole = archive({**CONTENT, "code/noise.py": generator.randbytes(2_000)}).read_bytes()

    for number in range(40):
        damaged = bytearray(whole)
        for _ in range(5):
            damaged[generator.randrange(12, len(damaged))] ^= 1 << generator.randrange(8)
        path = tmp_path / f"{number}.tar.gz"
        path.write_bytes(damaged if number % 2 else damaged[: len(damaged) * 2 // 3])
        with pytest.raises(ArtifactInvalid):
            extract(path, tmp_path / f"model-{number}")


def test_byte_code_beside_the_code_is_nobodys_artifact(tmp_path):
    for name, data in {**CONTENT, "code/__pycache__/serve.cpython-311.pyc": b"x"}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    (tmp_path / "manifest.json").write_text(json.dumps({"files": describe(tmp_path, CONTENT)}))

    assert set(check(tmp_path)["files"]) == set(CONTENT)


def test_a_link_in_an_unpacked_artifact_is_refused(tmp_path):
    (tmp_path / "model.json").symlink_to("/etc/passwd")

    with pytest.raises(ArtifactInvalid, match="link"):
        list(artifact.names_in(tmp_path))
