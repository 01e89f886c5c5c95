"""Starts the service: ``repurchase serve``."""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
from pathlib import Path
from typing import NoReturn

from features.config import ServingConfig
from features.contracts import SettingError
from serving.published import Published

WORKSPACE = "REPURCHASE_WORKSPACE"
SETTINGS = "REPURCHASE_SERVING"
"""Environment of the worker processes: a path, and ``ServingConfig`` as JSON."""

_GRACE_SECONDS = 5


def run(
    workspace: Path, host: str, port: int, config: ServingConfig | None = None
) -> NoReturn:
    """Serves the version in force until SIGINT or SIGTERM, then exits with 0.

    This process becomes BentoML's, so signals and the exit status are its own
    and no supervisor of ours stands between.

    Args:
        workspace: holds ``published/``.
        host: an IP address or ``localhost``; loopback, as there are no keys.
        port: must be free.
        config: further settings; None: the defaults.

    Raises:
        SettingError: the host is not a loopback address, or the port is taken.
        ContractError: nothing is published, or the version is damaged.
    """
    address = loopback(host)
    Published.open(workspace)
    ensure_free(address, port)
    # Metrics of the workers are files below BentoML's home, wiped at each start:
    # two services must not share it.
    home = workspace.absolute() / ".bentoml" / str(port)
    home.mkdir(parents=True, exist_ok=True)
    environment = {
        **os.environ,
        WORKSPACE: str(workspace.absolute()),
        SETTINGS: (config or ServingConfig()).model_dump_json(),
        "BENTOML_HOME": str(home),
        "BENTOML_DO_NOT_TRACK": "True",
    }
    root = Path(__file__).parents[1]
    command = [
        *(sys.executable, "-m", "bentoml", "serve", "serving.service:Repurchase"),
        *("--working-dir", str(root), "--host", address, "--port", str(port)),
        *("--timeout-graceful-shutdown", str(_GRACE_SECONDS)),
    ]
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, command, environment)  # noqa: S606 - our own words


def loopback(host: str) -> str:
    """The address of a loopback host.

    Raises:
        SettingError: it is no address, or others could reach it.
    """
    if host == "localhost":
        return "127.0.0.1"
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        raise SettingError(
            f"host: expected an IP address or localhost, got {host!r}"
        ) from None
    if not address.is_loopback:
        raise SettingError(
            f"host: expected a loopback address while there are no API keys, "
            f"got {host}; use 127.0.0.1 and a proxy that checks who asks"
        )
    return host


def ensure_free(address: str, port: int) -> None:
    """Nothing if the port can be bound.

    Raises:
        SettingError: it is taken, or not ours to take.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise SettingError(
                f"port: expected a free port on {address}, got {port}: {reason}; "
                "choose another with --port"
            ) from None
