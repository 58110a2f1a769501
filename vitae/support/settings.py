"""Settings: dataclass fields that are also command-line options."""

from collections.abc import Callable
from dataclasses import MISSING, field
from typing import Any


def setting(text: str, default: Any = MISSING, choices: Callable[[], Any] | None = None):
    """A dataclass field that is also a command-line option.

    Args:
        text: the option's help.
        default: none makes the field required.
        choices: returns the allowed values; called when they are needed, to include what was registered by then.
    """
    return field(default=default, metadata={"help": text, "choices": choices})
