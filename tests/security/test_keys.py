"""SE-06: an object key never becomes a path; where its last part becomes a name, it can point nowhere."""

from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from driftwheel.layout import quarantine_key
from driftwheel.run import Run
from driftwheel.steps import preprocessing
from driftwheel_local.sagemaker.objects import DataFault, _inside

from .rules import ROOT

PIECES = [
    "..",
    ".",
    "~",
    "%2e%2e%2f",
    "%2e%2e",
    "\\..\\",
    "C:",
    "s3://other/x",
    "\x00",
    "etc",
    "a b",
    "ü",
    "\u202e",
]
KEYS = st.one_of(
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=8).map("/".join),
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=8).map("".join),
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts)),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=1024),
)
RUN = Run.model_validate_json((ROOT / "events" / "preprocessing.json").read_text(encoding="utf-8"))


@pytest.mark.case("SE-06")
@settings(max_examples=300, deadline=None, derandomize=True)
@given(KEYS)
def test_a_refused_object_stays_below_its_models_quarantine(key: str) -> None:
    place = quarantine_key("flights", "3HL4kqtJlcpXroDTDmJ", key.rsplit("/", 1)[-1])
    parts = place.split("/")

    assert parts[:3] == ["quarantine", "flights", "3HL4kqtJlcpXroDTDmJ"]
    assert len(parts) == 4
    assert parts[3] not in ("", ".", "..")
    assert parts[3].isascii()
    assert parts[3].isprintable()
    assert len(place.encode()) <= 1024


def test_two_hostile_names_of_one_version_do_not_overwrite_each_other() -> None:
    names = ["..", "...", "\x00", "%2e%2e", "ü", "u\u0308", "x" * 900]

    assert len({quarantine_key("m", "v", name) for name in names}) == len(names)


class Downloads:
    """Objects that only note where they were asked to go."""

    def __init__(self, keys: list[str]) -> None:
        self.paths: list[Path] = []
        self.keys = keys

    def read_json(self, _uri: object) -> dict[str, object]:
        return {
            "objects": [{"role": "source", "bucket": "b", "key": key, "version": "v"} for key in self.keys]
        }

    def download(self, _bucket: str, _key: str, _version: str, path: Path) -> None:
        self.paths.append(path)


@pytest.mark.case("SE-06")
@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(KEYS, min_size=1, max_size=5, unique=True))
def test_what_preprocessing_downloads_is_numbered_not_named(keys: list[str]) -> None:
    downloads, folder = Downloads(keys), Path("/run")

    files = list(preprocessing.Entries(RUN, downloads, folder).data())

    assert len(files) == len(keys)
    assert downloads.paths == [folder / f"object-{number}" for number in range(len(keys))]


@pytest.mark.case("SE-06")
@settings(max_examples=300, deadline=None, derandomize=True)
@given(KEYS)
def test_a_channel_of_a_local_job_never_leaves_its_folder(key: str) -> None:
    folder = Path("/job/input/data/train")
    try:
        path = _inside(folder, key)
    except DataFault:
        return

    assert path.is_relative_to(folder)
    assert path != folder
    assert ".." not in PurePosixPath(path).parts
