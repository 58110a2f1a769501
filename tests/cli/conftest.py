import pytest

from vitae.cli.main import main


@pytest.fixture
def error_of(capsys):
    """`error_of(*arguments)` asserts exit code 2 with one sentence on standard error, and returns the sentence."""

    def run(*arguments):
        assert main(arguments) == 2
        printed = capsys.readouterr().err
        lines = printed.strip().splitlines()
        assert len(lines) == 1, printed
        assert lines[0].startswith("vitae: ")
        return lines[0]

    return run
