"""A model archive small enough to make by the hundred: whole, consistent, and of no use as a model."""

import hashlib
import io
import json
import tarfile

from driftwheel.jobs.artifact import MANIFEST, REQUIRED


def packed(content: str) -> tuple[str, bytes]:
    """Write an archive that differs by ``content``: the sha256 of its manifest, and its bytes."""
    files = {name: json.dumps({"is": content}).encode() for name in sorted(REQUIRED - {MANIFEST})}
    described = {name: {"sha256": hashlib.sha256(body).hexdigest()} for name, body in files.items()}
    manifest = json.dumps({"files": described}).encode()
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz", compresslevel=1) as tar:
        for name, body in (files | {MANIFEST: manifest}).items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
    return hashlib.sha256(manifest).hexdigest(), archive.getvalue()
