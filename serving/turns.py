"""One stage at a time in a workspace: they read what others write.

A chain of stages is one turn: nobody comes in between, and its own stages are let in.
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from functools import wraps
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from features.config import Config
from features.contracts import SettingError

P = ParamSpec("P")
R = TypeVar("R")

_CHAINED: ContextVar[Path | None] = ContextVar("chained", default=None)
"""The workspace whose turn a chain of stages has, while one runs."""


def one_at_a_time(
    stage: Callable[Concatenate[Config, P], R],
) -> Callable[Concatenate[Config, P], R]:
    """The stage, refused with one line while another is at work in the workspace."""

    @wraps(stage)
    def alone(config: Config, *args: P.args, **named: P.kwargs) -> R:
        with _locked(config.workspace):
            return stage(config, *args, **named)

    return alone


def chain_of_stages(
    chain: Callable[Concatenate[Config, P], R],
) -> Callable[Concatenate[Config, P], R]:
    """The same for what calls stages one after the other, in a single turn."""

    @wraps(chain)
    def alone(config: Config, *args: P.args, **named: P.kwargs) -> R:
        with _locked(config.workspace):
            token = _CHAINED.set(config.workspace)
            try:
                return chain(config, *args, **named)
            finally:
                _CHAINED.reset(token)

    return alone


@contextmanager
def _locked(workspace: Path) -> Generator[None]:
    if workspace == _CHAINED.get():
        yield
        return
    with ExitStack() as held:
        try:
            workspace.mkdir(parents=True, exist_ok=True)
            lock = held.enter_context((workspace / ".lock").open("w"))
            # By the kernel for the process, so a killed build cannot leave it shut.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SettingError(
                f"workspace: expected no other build in {workspace}, got one at work; "
                "wait for it, or choose another workspace"
            ) from None
        except OSError as error:
            raise SettingError(
                f"workspace: expected a folder that can be written, got {workspace} "
                f"({error.strerror}); choose another one"
            ) from None
        yield
