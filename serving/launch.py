"""Starts the service: ``repurchase serve``."""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
from pathlib import Path
from typing import NoReturn

from features.config import ServingConfig, StateConfig
from features.contracts import SettingError
from features.database import Database
from serving.experiments.place import Place
from serving.published import Published
from serving.state import database, keys

WORKSPACE = "REPURCHASE_WORKSPACE"
SETTINGS = "REPURCHASE_SERVING"
STATE = "REPURCHASE_STATE"
DATA = "REPURCHASE_DATA"
ENGINE = "REPURCHASE_ENGINE"
"""Environment of the worker processes: two places, and three sections as JSON."""


def run(
    workspace: Path,
    host: str,
    port: int,
    config: ServingConfig | None = None,
    state: StateConfig | None = None,
    place: Place | None = None,
) -> NoReturn:
    """Serves the version in force until SIGINT or SIGTERM, then exits with 0.

    This process becomes BentoML's, so signals and the exit status are its own
    and no supervisor of ours stands between.

    Args:
        workspace: holds ``published/``.
        host: an IP address or ``localhost``; without keys a loopback one.
        port: must be free.
        config: further settings; None: the defaults.
        state: where events and keys are; None: in the workspace.
        place: of the purchases that experiments are judged by, a database without its
            password (PGPASSWORD or a passfile has it); None: only the log of events.

    Raises:
        SettingError: others could reach the host and there is no key in force, the
            port is taken, or the state's database cannot be opened.
        ContractError: nothing is published, or the version is damaged.
    """
    config, state = config or ServingConfig(), state or StateConfig()
    address, is_loopback = address_of(host)
    Published.open(workspace)
    engine = database.ready(workspace, state)
    in_force = any(key.revoked_at is None for key in keys.every(engine))
    database.close(engine)
    if not (is_loopback or in_force):
        raise SettingError(
            f"host: expected a loopback address while there are no API keys, got {host}; "
            "make one with `repurchase keys create`, or use 127.0.0.1"
        )
    ensure_free(address, port)
    # Metrics of the workers are files below BentoML's home, wiped at each start:
    # two services must not share it.
    home = workspace.absolute() / ".bentoml" / str(port)
    home.mkdir(parents=True, exist_ok=True)
    environment = {
        **os.environ,
        WORKSPACE: str(workspace.absolute()),
        SETTINGS: config.model_dump_json(),
        STATE: state.model_dump_json(),
        ENGINE: (place or Place()).engine.model_dump_json(),
        "BENTOML_HOME": str(home),
        "BENTOML_DO_NOT_TRACK": "True",
    }
    if place is not None and place.data is not None:
        environment[DATA] = _written(place.data)
    root = Path(__file__).parents[1]
    command = [
        *(sys.executable, "-m", "bentoml", "serve", "serving.service:Repurchase"),
        *("--working-dir", str(root), "--host", address, "--port", str(port)),
        *("--timeout-graceful-shutdown", str(config.grace_seconds)),
    ]
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, command, environment)  # noqa: S606 - our own words


def _written(data: Path | Database) -> str:
    """A place for another process, which may be at work in another folder.

    Raises:
        SettingError: the address holds a password.
    """
    if isinstance(data, Path):
        return str(data.absolute())
    if data.has_password:
        raise SettingError(
            "data: expected an address without a password for the service, got one "
            "with; keep it in PGPASSWORD or a passfile"
        )
    return str(data)


def address_of(host: str) -> tuple[str, bool]:
    """The address of a host, and whether only this machine reaches it.

    Raises:
        SettingError: it is no address.
    """
    if host == "localhost":
        return "127.0.0.1", True
    try:
        return host, ipaddress.ip_address(host).is_loopback
    except ValueError:
        raise SettingError(
            f"host: expected an IP address or localhost, got {host!r}"
        ) from None


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
