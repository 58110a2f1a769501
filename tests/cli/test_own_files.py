"""`--with FILE.py` loads a file of the user's before the command."""

import sys

import pytest

from vitae.cli.main import main
from vitae.models.objectives import OBJECTIVES


@pytest.fixture
def file(tmp_path):
    """`file(text)` writes a Python file; the fixture later removes the modules and objectives that such files added."""
    objectives = set(OBJECTIVES)

    def write(text, name="my_things.py"):
        path = tmp_path / name
        path.write_text(text)
        return path

    yield write
    for name in set(OBJECTIVES) - objectives:
        del OBJECTIVES[name]
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]


def objective(name):
    return f"""
from vitae import register_objective

@register_objective("{name}")
def loss(output, *, kl_weight=1.0): ...
"""


def test_a_missing_file_is_refused(error_of, tmp_path):
    assert f"there is no file {tmp_path / 'x.py'}: name a Python file" in error_of("--with", str(tmp_path / "x.py"))


def test_with_needs_a_file(error_of):
    assert "--with needs a file" in error_of("--with")


def test_a_file_that_is_not_python_is_refused(error_of, file):
    path = file("x = 1", "my_things.txt")
    assert f"{path} is not a Python file: its name must end in .py" in error_of("--with", str(path), "table")


def test_a_syntax_error_is_reported_with_its_line(error_of, file):
    path = file("x = 1\ny = 2\nz = = 3\n")
    assert f"{path} failed in line 3: SyntaxError: invalid syntax" in error_of("--with", str(path), "table")


def test_an_exception_is_reported_with_the_file_and_its_own_line(error_of, file):
    """Not with the line of the library that raised it."""
    path = file("import json\n\njson.loads('{')\n")
    assert f"{path} failed in line 3: JSONDecodeError: Expecting property name" in error_of(
        "--with", str(path), "table"
    )


def test_a_refused_registration_is_reported_with_the_file(error_of, file):
    path = file(objective("elbo"))
    assert f"{path}: the objective name 'elbo' is taken" in error_of("--with", str(path), "table")


@pytest.mark.parametrize("module", ["json", "torch", "vitae"])
def test_a_file_with_the_name_of_an_imported_module_is_refused(error_of, file, module):
    path = file("x = 1", f"{module}.py")
    assert f"{path} has the name of the Python module {module}: rename it" in error_of("--with", str(path), "table")


def test_a_failed_file_can_be_loaded_after_it_is_corrected(error_of, file, capsys):
    path = file("raise ValueError('not yet')")
    assert "ValueError: not yet" in error_of("--with", str(path), "--version")
    file(objective("corrected"))
    assert main(["--with", str(path), "--version"]) == 0
    assert "corrected" in OBJECTIVES


def test_several_files_in_both_notations(file, capsys):
    first, second = file(objective("first"), "one.py"), file(objective("second"), "two.py")
    assert main(["--with", str(first), f"--with={second}", "--version"]) == 0
    assert {"first", "second"} <= set(OBJECTIVES)
    assert capsys.readouterr().out.startswith("vitae ")


def test_the_same_file_twice_is_loaded_once(file, capsys):
    path = file("print('loaded')")
    assert main(["--with", str(path), "--with", str(path), "--version"]) == 0
    assert capsys.readouterr().out.count("loaded") == 1
