"""Prepare a data set: files in, the training job's files out, with every row accounted for.

Pure but for one folder: what is in S3 comes as files and streams, what goes there is left in the folder.
"""

from pathlib import Path

from driftwheel.dataset import assemble, splits
from driftwheel.dataset.checks import no_source
from driftwheel.dataset.duck import open_workspace
from driftwheel.dataset.files import CaptureFile, DataFile, LabelFile
from driftwheel.dataset.finish import Inputs, Pinned, Prepared, finish, refused
from driftwheel.recipe.declare import declare
from driftwheel.spec import ModelSpec

__all__ = ["CaptureFile", "DataFile", "Inputs", "LabelFile", "Pinned", "Prepared", "prepare"]

UPKEEP = frozenset({"triggers", "drift", "deployment", "preprocessing"})
"""Parts of a specification that change neither the rows nor the model trained on them."""


def declared(spec: ModelSpec) -> dict[str, object]:
    """Give what of a specification rows and model depend on."""
    return spec.model_dump(mode="json", exclude=set(UPKEEP))


def prepare(spec: ModelSpec, inputs: Inputs, folder: Path, *, memory_mb: int) -> Prepared:
    """Clean, combine, split and profile a data set into ``folder``.

    Raises SpecInvalid for a declaration that cannot be compiled. Bad rows and bad files are answers, never
    exceptions. Memory is bounded by ``memory_mb``; what does not fit spills into the folder.
    """
    with open_workspace(folder, spec, declare(spec), memory_mb) as space:
        found = assemble.read_files(space, inputs.files)
        if problem := no_source(space, found):
            return refused(found, problem, {})
        assemble.join(space, found)
        found.captured = assemble.read_captured(space, inputs.captures, inputs.labels, inputs.held_hours)
        return finish(space, found, inputs, declared(spec), lambda out: splits.keep_usable(space, out))
