"""What goes wrong with experiments, as commands say it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from features.contracts import SettingError


@contextmanager
def in_one_line(what: str) -> Generator[None]:
    """Errors of the work in one line.

    Raises:
        SettingError: what is wrong.
    """
    from pydantic import ValidationError

    from serving import experiment_work as work
    from serving.state.experiments import UnfitError

    try:
        yield
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "plan"
        said = first["msg"][:1].lower() + first["msg"][1:]
        raise SettingError(f"{field}: {said}; check {what}") from None
    except work.NotFoundError:
        raise SettingError(
            f"name: expected that of an experiment, got {what!r}; create it first"
        ) from None
    except (work.FieldError, UnfitError) as error:
        raise SettingError(str(error)) from None
