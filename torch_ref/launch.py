"""A process for each device of this machine, by torchrun's own launcher."""

import logging
import os
import sys
import uuid

import torch
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from experiment.errors import InputError
from experiment.signals import StopError, handed_over


def launch(devices: int, device: str, arguments: list[str]) -> int:
    """Runs this command in as many processes; returns the exit status.

    A signal reaches all of them, and they end as one process would. If one
    fails, the launcher ends the others.

    Args:
        devices: processes to start.
        device: the option ``--device``.
        arguments: of the command.

    Raises:
        InputError: there are GPUs, but fewer than that.
        StopError: a signal stopped the processes.
    """
    found = torch.cuda.device_count()
    if device == "gpu" or (device == "auto" and found):
        if devices > found:
            raise InputError(
                f"--devices {devices}: PyTorch sees {found} on this machine; "
                f"take --devices {found}, or --device cpu"
            )
    else:  # processes share the cores
        threads = max(1, (os.cpu_count() or 1) // devices)
        os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    # A signal lets processes finish their chunk of iterations.
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", "300")
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=devices,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",
        max_restarts=0,
    )
    command = "-m", "torch_ref", *arguments
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)  # the processes say why they end
    try:
        with handed_over():
            elastic_launch(config, sys.executable)(*command)
    except SignalException as stop:
        raise StopError(stop.sigval) from stop
    except ChildFailedError as error:
        _, failure = error.get_first_failure()
        return failure.exitcode if failure.exitcode > 0 else 1
    finally:
        logging.disable(disabled)
    return 0
