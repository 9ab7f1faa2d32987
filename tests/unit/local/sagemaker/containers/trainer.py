"""A small training program that shows what its container gave it; --mode says how it ends."""

# ruff: noqa: T201 (a container logs by printing)
import argparse
import json
import os
import pathlib
import signal
import socket
import sys
import time

parser = argparse.ArgumentParser()
parser.add_argument("--mode", default="good")
parser.add_argument("--rounds", default="3")
arguments = parser.parse_args()
model = pathlib.Path(os.environ["SM_MODEL_DIR"])
output = pathlib.Path(os.environ["SM_OUTPUT_DIR"])


def finish(_signal=None, _frame=None):
    (model / "partial").write_text("saved on SIGTERM")
    sys.exit(0)


for number in range(int(arguments.rounds)):
    print(f"[{number}] validation-auc:{0.5 + number / 10}")
if arguments.mode == "fail":
    (output / "failure").write_text("the label column is empty\n" + "x" * 2000)
    sys.exit(3)
if arguments.mode == "crash":
    raise ValueError("no such thing")
if arguments.mode == "segfault":
    os.kill(os.getpid(), signal.SIGSEGV)
if arguments.mode == "patient":
    signal.signal(signal.SIGTERM, finish)
    print("waiting")
    time.sleep(60)
if arguments.mode == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("waiting")
    time.sleep(60)
if arguments.mode == "memory":
    bytearray(400_000_000)
if arguments.mode == "disk-file":
    with (model / "model.json").open("wb") as stream:
        stream.truncate(100_000_000_000)
if arguments.mode == "disk-files":
    for number in range(40):
        (model / f"{number}.bin").write_bytes(os.urandom(1_000_000))
    time.sleep(60)
if arguments.mode in ("checkpoint", "interrupted"):
    checkpoint = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"], "checkpoints", "round-1")
    resumed = checkpoint.exists()
    checkpoint.write_text("state")
    if arguments.mode == "interrupted" and not resumed:
        print("waiting")
        time.sleep(60)


def reaches_network():
    try:
        socket.create_connection(("127.0.0.1", int(os.environ.get("PROBE_PORT", "1"))), timeout=1).close()
    except OSError:
        return False
    return True


channels = {
    name: sorted(
        str(path.relative_to(os.environ[f"SM_CHANNEL_{name.upper()}"]))
        for path in pathlib.Path(os.environ[f"SM_CHANNEL_{name.upper()}"]).rglob("*")
        if path.is_file()
    )
    for name in json.loads(os.environ["SM_CHANNELS"])
}
try:
    import driftwheel

    ours = driftwheel.__file__
except ImportError:
    ours = None
report = {
    "arguments": sys.argv[1:],
    "environment": dict(os.environ),
    "folder": str(pathlib.Path.cwd()),
    "channels": channels,
    "repository": ours,
    "network": reaches_network(),
    "hyperparameters": json.loads(pathlib.Path(os.environ["SM_INPUT_TRAINING_CONFIG_FILE"]).read_text()),
    "checkpoints": sorted(
        path.name for path in pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"]).glob("checkpoints/*")
    ),
}
(model / "model.json").write_text(json.dumps({"rounds": arguments.rounds}))
(output / "data" / "report.json").write_text(json.dumps(report))
