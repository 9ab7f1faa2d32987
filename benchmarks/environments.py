"""The peers' environments, ``benchmarks/.venv-<name>``, each made of ``peers/<name>.txt`` on first use."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def python_of(name: str) -> str:
    """Make an environment, or make it anew when its lock file is younger; give its interpreter.

    Packages are installed by digest and compiled: nobody deploys code that is compiled at every start. Raises
    CalledProcessError when one cannot be had.
    """
    lock, folder = HERE / f"peers/{name}.txt", HERE / f".venv-{name}"
    python = folder / "bin/python"
    if not python.exists() or python.stat().st_mtime < lock.stat().st_mtime:
        uv = str(Path(sys.executable).with_name("uv"))
        subprocess.run([uv, "venv", "-q", "--clear", "--python", sys.executable, str(folder)], check=True)
        install = [uv, "pip", "install", "-q", "--compile-bytecode", "--require-hashes", "--no-deps"]
        subprocess.run([*install, "--python", str(python), "-r", str(lock)], check=True)
        python.touch()
    return str(python)
