import json

import numpy as np
import pytest

from vitae.cli.main import main
from vitae.metrics import report
from vitae.report import tables


@pytest.fixture
def codes_file(tmp_path):
    random = np.random.default_rng(0)
    factors = np.column_stack([random.integers(0, 3, 240), random.normal(size=240)])
    codes = np.column_stack([factors[:, 0] + 0.1 * random.normal(size=240), factors[:, 1], random.normal(size=240)])
    path = tmp_path / "codes.npz"
    np.savez(path, codes=codes, factors=factors, names=["kind", "angle"])
    return path


def test_scores_prints_writes_and_draws_what_report_computes(codes_file, tmp_path, capsys):
    figure, output = tmp_path / "matrices.png", tmp_path / "scores.json"
    command = ["scores", str(codes_file), "--spaces", "z_A=1,z_P=2", "--format", "csv", "--seed", "5"]
    assert main([*command, "--figure", str(figure), "--output", str(output)]) == 0
    printed = capsys.readouterr()
    with np.load(codes_file) as arrays:
        expected = report(
            arrays["codes"], arrays["factors"], names=["kind", "angle"], spaces={"z_A": 1, "z_P": 2}, seed=5
        )
    assert printed.out.strip() == tables.as_csv(expected.rows())
    assert "NOT the full protocol: 160 and 80 points instead of 10,000 and 5,000" in printed.err
    written = json.loads(output.read_text())
    assert written["mig"]["score"] == expected.mig.score
    assert written["spaces"]["z_A"]["kind"]["reached"] == expected.spaces["z_A"]["kind"].reached > 0.9
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_options_override_the_names_and_kinds_of_factors(codes_file, capsys):
    assert main(["scores", str(codes_file), "--names", "a,b", "--continuous", "b", "--fast", "--threads", "1"]) == 0
    assert "trees a class instead of 100" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"z": np.eye(3)}, "lacks codes and factors: it holds z."),
        ({"codes": np.eye(3), "factors": np.array([{}])}, "cannot read arrays from"),
        ({"codes": np.eye(3), "factors": np.eye(3), "test_codes": np.eye(3)}, "holds test_codes without its pair"),
    ],
)
def test_the_error_says_which_arrays_are_unusable(arrays, message, tmp_path, error_of):
    np.savez(tmp_path / "codes.npz", **arrays)
    assert message in error_of("scores", str(tmp_path / "codes.npz"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--output", "{}"], "it is a folder; name a file"),
        (["--output", "."], "it is a folder; name a file"),
        (["--figure", "{}/a.svg", "--output", "{}/a.svg"], "must be different files"),
        (["--output", "{}/codes.npz"], "must be different files"),
        (["--names", "a,a"], "names must be distinct, but a occurs more than once"),
        (["--continuous", "angel"], "unknown factor 'angel'. Did you mean 'angle'?"),
    ],
)
def test_invalid_options_are_reported_before_any_work(options, message, codes_file, error_of, monkeypatch):
    monkeypatch.setattr("vitae.cli.scores.report", None)
    before = codes_file.read_bytes()
    options = [option.format(codes_file.parent) for option in options]
    assert message in error_of("scores", str(codes_file), *options)
    assert codes_file.read_bytes() == before


def test_the_number_of_names_must_match_the_factors(codes_file, error_of):
    assert "there are 2 factors and 1 entries in names" in error_of("scores", str(codes_file), "--names", "a")


def test_names_with_special_characters_can_be_drawn(codes_file, tmp_path):
    figure = tmp_path / "m.svg"
    command = ["scores", str(codes_file), "--names", r"a$\frac$,b_c", "--fast", "--figure", str(figure)]
    assert main(command) == 0
    assert figure.stat().st_size > 1_000


def test_files_that_are_not_npz_are_refused(tmp_path, error_of):
    path = tmp_path / "codes.npz"
    path.write_text("1,2,3")
    assert "cannot read arrays from" in error_of("scores", str(path))
    np.save(tmp_path / "one.npy", np.eye(3))
    assert "holds a single array without a name" in error_of("scores", str(tmp_path / "one.npy"))
    assert "it is a folder, not a regular file" in error_of("scores", str(tmp_path))


def test_the_help_describes_the_file(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["scores", "--help"])
    printed = capsys.readouterr().out
    for text in ("codes     points x codes", "numpy.savez", "test_codes, test_factors", "10,000 points"):
        assert text in printed


def test_classes_that_no_training_point_has_are_said(tmp_path, capsys):
    random = np.random.default_rng(0)
    codes, factors = random.normal(size=(60, 2)), random.integers(2, size=(60, 2)).astype(float)
    test_factors = factors.copy()
    test_factors[:3, 1] = 2
    np.savez(tmp_path / "codes.npz", codes=codes, factors=factors, test_codes=codes, test_factors=test_factors)
    assert main(["scores", str(tmp_path / "codes.npz"), "--fast", "--names", "shape,colour"]) == 0
    assert "3 test points have classes of colour that no training point has." in capsys.readouterr().err
