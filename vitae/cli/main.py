"""`vitae`: picks the command, loads the user's own files, and turns errors into one sentence and an exit code."""

import importlib
import importlib.util
import io
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from vitae.support.errors import InputError, printable, reason, require_known

# Command -> what it does. Each is a module beside this one with `parser(prog)` and `execute(arguments)`.
COMMANDS = {
    "train": "train and score one run or several, or resume them",
    "evaluate": "score finished runs again",
    "table": "print the table of all finished runs",
    "study": "train and score every run that the experiments declare, and say what is left",
    "scores": "score codes of your own by DCI, MIG, SAP and all the others",
    "data": "list the datasets, and what is present where; draw and export them",
    "bench": "measure how fast and how exact this is on this machine",
}

# The user's own files that are loaded, for commands that start further processes.
OWN_FILES: list[Path] = []

_HELP = """\
usage: vitae [--with FILE.py ...] COMMAND ...

Train, score and tabulate the models of the VITAE paper.

commands:
{commands}

options:
  --with FILE.py   load a file of your own first: datasets, experiments, models, objectives, scores and
                   transformations that it registers can then be used by name; may be repeated
  --help           this text; 'vitae COMMAND --help' has each command's options and examples
  --version        print the version

Records go to book/records, weights and checkpoints to runs, both under $VITAE_HOME (default: the clone, else the
current folder). Figures come from the notebooks: papermill notebooks/mnist.ipynb out.ipynb -p profile quick -p seed 3
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit code: 0, or 2 after one sentence on bad input, or 130 when interrupted.
    """
    if sys.stderr is None:
        # Progress and messages go nowhere, as the caller wants; the exit code still says what happened.
        sys.stderr = io.StringIO()
    if sys.stdout is None:
        # Before any work, because its result could not be said.
        print("vitae: cannot write the output: standard output is closed.", file=sys.stderr)
        return 2
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot print β still gets its table.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    arguments, resumes = list(sys.argv[1:] if arguments is None else arguments), ""
    try:
        rest = _load_own_files(arguments)
        if not rest or rest[0] in ("--help", "-h", "--version"):
            print(_version() if rest and rest[0] == "--version" else _help())
            return 0 if rest else 2
        command = importlib.import_module(f"vitae.cli.{require_known('command', rest[0], COMMANDS)}")
        parsed = command.parser(f"vitae {rest[0]}").parse_args(rest[1:])
        if rest[0] in ("train", "study"):
            resumes = "; the same command resumes from the last checkpoint"
        command.execute(parsed)
        sys.stdout.flush()
    except OSError as error:
        # Files are written through vitae.support.files, so this is standard output: a closed pipe or a full disk.
        print(f"vitae: cannot write the output: {(error.strerror or reason(error)).lower()}.", file=sys.stderr)
        return 2
    except InputError as error:
        print(f"vitae: {printable(str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"vitae: interrupted{resumes}.", file=sys.stderr)
        return 130
    return 0


def _help() -> str:
    return _HELP.format(commands="\n".join(f"  {name:<10} {text}" for name, text in COMMANDS.items())).rstrip()


def _version() -> str:
    import vitae

    return f"vitae {vitae.__version__}"


def _load_own_files(arguments: list[str]) -> list[str]:
    """Load the files named by leading `--with`; returns the arguments after them."""
    while arguments and (arguments[0] == "--with" or arguments[0].startswith("--with=")):
        _, equals, file = arguments[0].partition("=")
        if not equals:
            if len(arguments) < 2:
                raise InputError("--with needs a file: vitae --with my_things.py train ...")
            file = arguments[1]
        load_own_file(Path(file))
        OWN_FILES.append(Path(file).resolve())
        arguments = arguments[1 if equals else 2 :]
    return arguments


def load_own_file(path: Path) -> None:
    """Import a Python file by its path, under its own name, so that what it registers is known.

    Raises:
        InputError: there is no such file, its name is taken by another module, or running it failed; the message says
            in which line.
    """
    if not path.is_file():
        raise InputError(f"there is no file {path}: name a Python file with --with.")
    name, loaded = path.stem, sys.modules.get(path.stem)
    if loaded is not None and getattr(loaded, "__file__", None) != str(path.resolve()):
        raise InputError(f"{path} has the name of the Python module {name}: rename it.")
    if loaded is not None:
        return
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    if spec is None:
        raise InputError(f"{path} is not a Python file: its name must end in .py.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except InputError as error:
        del sys.modules[name]
        raise InputError(f"{path}: {error}") from error
    except Exception as error:  # whatever the user's file raises
        del sys.modules[name]
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == spec.origin]
        line = lines[-1] if lines else getattr(error, "lineno", "?")
        raise InputError(f"{path} failed in line {line}: {type(error).__name__}: {reason(error)}.") from error
