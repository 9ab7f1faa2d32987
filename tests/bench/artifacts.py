"""A model archive small enough to make by the hundred: whole, consistent, and of no use as a model."""

import hashlib
import io
import json
import tarfile

from driftwheel.jobs.artifact import MANIFEST, REQUIRED


def packed(content: str, **code: bytes) -> tuple[str, bytes]:
    """Write an archive that differs by ``content``: the sha256 of its manifest, and its bytes.

    ``code`` are modules by their names, which a container finds beside the model.
    """
    files = {name: json.dumps({"is": content}).encode() for name in sorted(REQUIRED - {MANIFEST})}
    files |= {f"code/{name}.py": text for name, text in code.items()}
    described = {name: {"sha256": hashlib.sha256(body).hexdigest()} for name, body in files.items()}
    manifest = json.dumps({"files": described}).encode()
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz", compresslevel=1) as tar:
        for name, body in (files | {MANIFEST: manifest}).items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
    return hashlib.sha256(manifest).hexdigest(), archive.getvalue()
