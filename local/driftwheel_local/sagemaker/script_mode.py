"""XGBoost's script mode: the user's program started the way AWS's image starts it.

Read in the sources (2026-11): image 3.2 holds Python 3.12, xgboost 3.2.0 and *sagemaker-containers
2.8.6.post2*, whose `modules.run_module` copies the code to /opt/ml/code, runs `pip install .` there and then
`python -m <program without .py> --name value …` in that folder. The `SM_*` variables below are those of
sagemaker-training 5.1.4, a superset of it. Kinder here than there: no `pip install` (a `requirements.txt` is
only mentioned in the log), SIGTERM reaches the program (AWS's toolkit does not forward it), and a program's
own /opt/ml/output/failure survives (sagemaker-containers overwrites it, sagemaker-training does not).
"""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from driftwheel_local.sagemaker import archives, objects
from driftwheel_local.sagemaker.containers import (
    XGBOOST,
    OptMl,
    UnsupportedContainer,
    environment,
    image_name,
    import_path,
)
from driftwheel_local.sagemaker.process import Command
from driftwheel_local.sagemaker.site import Site

HOST = "algo-1"
_PREFIX = "sagemaker_"
_TUNING = "_tuning_objective_metric"
_OWN = (
    "sagemaker_program",
    "sagemaker_submit_directory",
    "sagemaker_enable_cloudwatch_metrics",
    "sagemaker_region",
    "sagemaker_container_log_level",
    "sagemaker_job_name",
    "default_user_module_name",
    "sagemaker_s3_output",
)


def training_command(site: Site, opt_ml: OptMl, request: Mapping[str, Any]) -> Command:
    """Unpack the code into /opt/ml/code and answer the program's command.

    Raises UnsupportedContainer for an image or mode that does not run here, DataFault for missing code.
    """
    image = request["AlgorithmSpecification"].get("TrainingImage")
    if not image:
        raise UnsupportedContainer("ClientError: AlgorithmName does not run here; give a TrainingImage")
    if image_name(image) != XGBOOST:
        raise UnsupportedContainer(f"ClientError: {image!r} runs processing jobs only in the local runtime")
    parameters = hyperparameters(request)
    program = parameters.get("sagemaker_program")
    if not program:
        raise UnsupportedContainer(
            f"ClientError: {XGBOOST} runs in script mode only here: set the hyperparameters "
            "sagemaker_program and sagemaker_submit_directory"
        )
    isolated = bool(request.get("EnableNetworkIsolation"))
    source = str(parameters.get("sagemaker_submit_directory", "/opt/ml/code"))
    fetch_code(site, opt_ml, source, isolated=isolated)
    module = str(program).removesuffix(".py")
    arguments = command_arguments(user_parameters(parameters), opt_ml)
    variables = environment(site, opt_ml, request.get("Environment", {}), isolated=isolated)
    variables |= toolkit_environment(opt_ml, request, parameters, module, source, arguments)
    variables["TRAINING_JOB_NAME"] = request["TrainingJobName"]
    variables["TRAINING_JOB_ARN"] = site.arn("training-job", request["TrainingJobName"])
    variables["PYTHONPATH"] = import_path(opt_ml.path("code"))
    words = (sys.executable, "-S", "-m", module, *arguments)
    return Command(words, variables, opt_ml.path("code"), isolated=isolated)


def hyperparameters(request: Mapping[str, Any]) -> dict[str, Any]:
    """Answer the hyperparameters as the toolkits read them: each value JSON if it parses, else text."""
    decoded: dict[str, Any] = {}
    for name, value in request.get("HyperParameters", {}).items():
        try:
            decoded[name] = json.loads(value)
        except ValueError:
            decoded[name] = value
    return decoded


def user_parameters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Answer the hyperparameters meant for the program: all but the toolkit's own."""
    return {
        name: value
        for name, value in parameters.items()
        if not name.startswith(_PREFIX) and name not in (*_OWN, _TUNING)
    }


def command_arguments(parameters: Mapping[str, Any], opt_ml: OptMl) -> tuple[str, ...]:
    """Answer `--name value …`, sorted by name, values as Python's str() writes them."""
    words: list[str] = []
    for name in sorted(parameters):
        value = parameters[name]
        if isinstance(value, dict):
            value = ",".join(f"{key}={item}" for key, item in sorted(value.items()))
        words += [f"--{name}" if len(name) > 1 else f"-{name}"]
        words += [opt_ml.rewrite("" if value is None else str(value))]
    return tuple(words)


def fetch_code(site: Site, opt_ml: OptMl, source: str, *, isolated: bool) -> None:
    """Put the program's files into /opt/ml/code from a tarball (S3 or local), a folder or a single file."""
    code = opt_ml.path("code")
    if source.startswith("s3://"):
        if isolated:
            raise objects.DataFault(
                f"AlgorithmError: sagemaker_submit_directory {source} cannot be downloaded: network "
                "isolation is on. Send the code as a channel and name its path below /opt/ml/input/data"
            )
        tarball = opt_ml.base.parent / "sourcedir.tar.gz"
        objects.download_file(site.s3, source, tarball)
        _unpack_code(tarball, code)
        return
    path = opt_ml.local(source)
    if path == code:
        return
    if path.is_dir():
        for found in sorted(path.rglob("*")):
            if found.is_file() and not found.is_symlink():
                target = code / found.relative_to(path)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(found.read_bytes())
    elif path.is_file():
        _unpack_code(path, code)
    else:
        raise objects.DataFault(f"AlgorithmError: sagemaker_submit_directory {source} does not exist")


def _unpack_code(tarball: Path, code: Path) -> None:
    try:
        archives.unpack(tarball, code)
    except archives.ArchiveFault as fault:
        raise objects.DataFault(f"AlgorithmError: sagemaker_submit_directory: {fault}") from fault


def toolkit_environment(
    opt_ml: OptMl,
    request: Mapping[str, Any],
    parameters: Mapping[str, Any],
    module: str,
    source: str,
    arguments: tuple[str, ...],
) -> dict[str, str]:
    """Answer the `SM_*` variables of sagemaker-training 5.1.4 for one host, and those set in the image."""
    channels = sorted(channel["ChannelName"] for channel in request.get("InputDataConfig", []))
    folders = {name: str(opt_ml.path("input", "data", name)) for name in channels}
    resources = resource_config(request)
    own = user_parameters(parameters)
    framework = {
        name: value for name, value in parameters.items() if name.startswith(_PREFIX) and name not in _OWN
    }
    values: dict[str, Any] = {
        "hosts": [HOST],
        "network_interface_name": "eth0",
        "hps": own,
        "user_entry_point": parameters["sagemaker_program"],
        "framework_params": framework,
        "resource_config": resources,
        "input_data_config": input_data_config(request),
        "output_data_dir": str(opt_ml.path("output", "data")),
        "channels": channels,
        "current_host": HOST,
        "current_instance_type": resources["current_instance_type"],
        "current_instance_group": resources["current_group_name"],
        "current_instance_group_hosts": [HOST],
        "instance_groups": [resources["current_group_name"]],
        "instance_groups_dict": {resources["current_group_name"]: resources["instance_groups"][0]},
        "distribution_instance_groups": [],
        "is_hetero": False,
        "module_name": module,
        "log_level": parameters.get("sagemaker_container_log_level", 20),
        "framework_module": "sagemaker_xgboost_container.training:main",
        "input_dir": str(opt_ml.path("input")),
        "input_config_dir": str(opt_ml.path("input", "config")),
        "output_dir": str(opt_ml.path("output")),
        "num_cpus": os.cpu_count() or 1,
        "num_gpus": 0,
        "num_neurons": 0,
        "model_dir": str(opt_ml.path("model")),
        "module_dir": source if source.startswith("s3://") else opt_ml.rewrite(source),
        "user_args": list(arguments),
        "output_intermediate_dir": str(opt_ml.path("output", "intermediate")),
    }
    values["training_env"] = {
        **values,
        "channel_input_dirs": folders,
        "hyperparameters": own,
        "additional_framework_parameters": framework,
        "job_name": request["TrainingJobName"],
        "is_master": True,
        "master_hostname": HOST,
    }
    values |= {f"channel_{name}": folder for name, folder in folders.items()}
    values |= {f"hp_{name}": value for name, value in own.items()}
    variables = {f"SM_{name.upper()}": _text(value) for name, value in values.items()}
    config = opt_ml.path("input", "config")
    return variables | {
        "SM_INPUT": str(opt_ml.path("input")),
        "SM_INPUT_TRAINING_CONFIG_FILE": str(config / "hyperparameters.json"),
        "SM_INPUT_DATA_CONFIG_FILE": str(config / "inputdataconfig.json"),
        "SM_CHECKPOINT_CONFIG_FILE": str(config / "checkpointconfig.json"),
    }


def input_data_config(request: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Answer the content of inputdataconfig.json."""
    channels: dict[str, dict[str, str]] = {}
    for channel in request.get("InputDataConfig", []):
        source = channel["DataSource"].get("S3DataSource", {})
        entry = {
            "ContentType": channel.get("ContentType"),
            "TrainingInputMode": channel.get("InputMode")
            or request["AlgorithmSpecification"]["TrainingInputMode"],
            "S3DistributionType": source.get("S3DataDistributionType", "FullyReplicated"),
            "RecordWrapperType": channel.get("RecordWrapperType", "None"),
        }
        channels[channel["ChannelName"]] = {name: value for name, value in entry.items() if value}
    return channels


def resource_config(request: Mapping[str, Any]) -> dict[str, Any]:
    """Answer the content of resourceconfig.json for one host."""
    instance = request["ResourceConfig"].get("InstanceType", "local")
    return {
        "current_host": HOST,
        "current_instance_type": instance,
        "current_group_name": "homogeneousCluster",
        "hosts": [HOST],
        "instance_groups": [
            {"instance_group_name": "homogeneousCluster", "instance_type": instance, "hosts": [HOST]}
        ],
        "network_interface_name": "eth0",
    }


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
