import csv
import json
import math
import shlex

import pytest

from vitae import InputError, configure
from vitae.cli.main import main
from vitae.experiments import run as running
from vitae.experiments.records import SCHEMA, command_for, load_records, load_trials, read_record, write_record
from vitae.report import poster, statistics, tables, verdicts
from vitae.support import paths, provenance
from vitae.support.provenance import commit


def record(model="vae", seed=0, profile="quick", overrides=None, source="embedded", **numbers):
    spaces = (
        {"z": {"digit": numbers.get("digit", 0.5)}}
        if model == "vae"
        else {"z_A": {"digit": 0.8}, "z_P": {"digit": 0.2}}
    )
    return {
        "run": f"{model}-seed{seed}",
        "configuration": {
            "dataset": "mnist",
            "model": model,
            "profile": profile,
            "seed": seed,
            "overrides": overrides or {},
        },
        "fingerprint": "f",
        "data": {"source": source, "location": "somewhere", "train": 10, "evaluated": 5, "evaluated_on": "test"},
        "parameters": 7,
        "device": "cpu",
        "seconds": {"train": 1.0, "evaluate": 2.0},
        "losses": [3.0],
        "scores": {
            "train_elbo": {"mean": -100.0, "standard_error": 1.0},
            "test_elbo": {"mean": numbers.get("elbo", -101.0), "standard_error": 1.0},
            "log_likelihood": {"mean": -99.0, "standard_error": 1.0},
            "samples": 10,
            "d_score": numbers.get("d", 0.5),
            "factors": ["digit"],
            "predictability": spaces,
        },
    }


NAMES = {"vae": "VAE", "c-vitae": "C-VITAE"}


def written(path, **changes):
    write_record(path, record())
    stored = json.loads(path.read_text())
    stored.update(changes)
    path.write_text(json.dumps({key: value for key, value in stored.items() if value is not None}))
    return path


def test_a_record_survives_the_round_trip_and_what_is_not_finite_becomes_null(tmp_path):
    original = record()
    original["losses"] = [1.25, math.nan, math.inf]
    write_record(tmp_path / "r.json", original)
    assert read_record(tmp_path / "r.json") == {"schema": SCHEMA, **original, "losses": [1.25, None, None]}


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda path: written(path, schema=99), "has schema 99, this vitae reads 1"),
        (lambda path: written(path, schema=None), "has schema None"),
        (lambda path: written(path, scores=None), "lacks scores"),
        (lambda path: written(path, seconds=3), "has no usable seconds"),
        (
            lambda path: written(path, configuration={"model": "vae"}),
            "lacks dataset, profile, seed, overrides in its conf",
        ),
        (
            lambda path: written(path, scores={**record()["scores"], "d_score": "high"}),
            "scores or seconds that are no num",
        ),
        (
            lambda path: written(path, scores={**record()["scores"], "predictability": 3}),
            "has no usable predictability",
        ),
        (lambda path: path.write_text("{ half"), "is not a readable record"),
        (lambda path: path.write_bytes(b"\xff\xfe"), "is not a readable record"),
        (lambda path: path.write_text("[]"), "has schema None"),
        (lambda path: None, "there is no record"),
    ],
)
def test_records_that_cannot_be_read_are_named(tmp_path, damage, complaint):
    damage(tmp_path / "r.json")
    with pytest.raises(InputError, match=complaint):
        read_record(tmp_path / "r.json")


def test_interval_is_students():
    interval = statistics.Interval.of([1.0, 2.0, 3.0])
    # t(0.975, 2) = 4.302653 from a table; standard deviation 1.
    assert (interval.mean, interval.half_width) == (2.0, pytest.approx(4.302653 / math.sqrt(3), abs=1e-5))
    assert interval.text(1) == "2.0 ± 2.5"
    assert statistics.Interval.of([1.234]).text(1) == "1.2"


def test_a_score_that_is_null_is_left_out_of_the_mean():
    missing = record("vae", 1)
    missing["scores"]["test_elbo"]["mean"] = None
    assert statistics.intervals([record("vae", 0, elbo=-100.0), missing], "test_elbo")["vae"].mean == -100.0


def test_table_is_mean_over_seeds_in_the_order_of_the_poster_beside_its_numbers():
    records = [record("c-vitae"), record("vae", 0, elbo=-100.0, digit=0.4), record("vae", 1, elbo=-102.0, digit=0.6)]
    heading, vae, vitae = tables.table(records, NAMES, poster=poster.POSTER["mnist"])
    cells = dict(zip(heading, vae, strict=True))
    assert (vae[0], vitae[0]) == ("VAE", "C-VITAE")
    assert cells["seeds"] == "2"
    assert cells["test ELBO"] == "-101.0 ± 12.7"
    assert cells["D_score"] == "0.500 ± 0.000"
    assert vitae[-3:] == ["-139", "-141", "0.884"]


def test_profiles_never_share_a_table():
    with pytest.raises(InputError, match="different profiles or datasets never share a table"):
        tables.table([record(), record(profile="full")], NAMES)


def test_data_from_different_sources_never_share_a_table():
    with pytest.raises(InputError, match="different data sources never share a table: train all with one --source"):
        tables.table([record(), record(seed=1, source="download")], NAMES)


def test_knowledge_table_has_a_row_a_space_and_a_column_a_factor():
    rows = tables.knowledge_table([record("c-vitae"), record(digit=0.4), record(seed=1, digit=0.6)], NAMES)
    assert rows == [
        ["model", "from", "digit"],
        ["VAE", "z", "0.50 ± 1.27"],
        ["C-VITAE", "z_A", "0.80"],
        ["C-VITAE", "z_P", "0.20"],
    ]


def test_load_leaves_out_runs_with_changed_settings():
    folder = paths.records() / "quick" / "mnist"
    write_record(folder / "b.json", record("vae", 1))
    write_record(folder / "a.json", record("vae", 0))
    write_record(folder / "c.json", record("vae", 0, overrides={"epochs": 3}))
    assert [r["configuration"]["seed"] for r in load_records("quick", "mnist")] == [0, 1]
    assert load_records("full", "mnist") == []


def test_formats_hold_the_same_cells():
    rows = tables.table([record(), record("c-vitae")], NAMES)
    assert list(csv.reader(tables.as_csv(rows).splitlines())) == rows
    text = tables.as_text(rows).splitlines()
    assert text[1].split() == [cell for cell in rows[1] if cell]
    markdown = tables.as_markdown(rows).splitlines()
    assert [cell.strip().replace("\\_", "_") for cell in markdown[0].strip("|").split("|")] == rows[0]
    assert len(markdown) == 4


def test_load_finds_runs_with_exactly_the_changes_that_are_asked_for():
    folder = paths.records() / "full" / "mnist"
    for name, changes in (("a", {}), ("b", {"transform": "cpab"}), ("c", {"transform": "cpab", "epochs": 3})):
        write_record(folder / f"{name}.json", record("c-vitae", profile="full", overrides=changes))
    (found,) = load_records("full", "mnist", transform="cpab")
    assert found["configuration"]["overrides"] == {"transform": "cpab"}


def test_trials_are_the_runs_that_saw_no_test_image(monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "committed_records", lambda: tmp_path / "clone")
    folder = paths.records() / "full" / "mnist"
    for configuration in (
        configure("mnist", "c-vitae", "full"),
        configure("mnist", "c-vitae", "full", validation=True, perspective=2),
        configure("mnist", "c-vitae", "full", perspective=2),
    ):
        made = record("c-vitae") | {"run": configuration.run, "configuration": configuration.as_json()}
        write_record(folder / f"{configuration.run}.json", made)
    (found,) = load_trials("mnist")
    assert found["run"] == "c-vitae-seed0-validation=True-perspective=2"
    assert load_trials("dsprites") == []
    # Those of the clone are seen from any home; of one name the one made here counts.
    elsewhere = made["configuration"] | {"validation": True}
    for name, seconds in (("a-validation=True", 5.0), (found["run"], 7.0)):
        record_of_clone = made | {
            "run": name,
            "configuration": elsewhere,
            "seconds": {"train": seconds, "evaluate": 1.0},
        }
        write_record(tmp_path / "clone" / "full" / "mnist" / f"{name}.json", record_of_clone)
    assert [one["seconds"]["train"] for one in load_trials("mnist")] == [5.0, 1.0]


@pytest.mark.parametrize(
    ("model", "changes"),
    [
        ("vae", {}),
        ("c-vitae", {"validation": True, "epochs": 3, "perspective_decoder": "hidden", "transform": "affine+cpab-3x4"}),
        (
            "c-vitae+dip-ii",
            {"dip_lambda": 0.7, "kl_annealing": 0.5, "samples": 20, "train_size": 500, "learning_rate_warmup": 0.2},
        ),
        ("c-vitae+beta-tc", {"beta": 4.0, "perspective": 3, "limit": 0.25, "learning_rate": 0.001}),
    ],
)
def test_the_command_of_a_record_makes_its_configuration(monkeypatch, model, changes):
    configuration = configure("mnist", model, "full", 3, **changes)
    asked = []
    monkeypatch.setattr(running, "run_together", lambda configurations, **how: asked.extend(configurations) or [])
    words = shlex.split(command_for({"configuration": configuration.as_json()}))
    assert words[0] == "vitae"
    assert main(words[1:]) == 0
    assert asked == [configuration]


def test_differences_are_paired_by_seed():
    """Seeds that only one of the two has say nothing; a common shift of a seed cancels."""
    records = [record("c-vitae", seed, d=d) for seed, d in ((0, 0.5), (1, 0.9), (2, 0.7), (7, 0.1))]
    records += [record("vae", seed, d=d) for seed, d in ((0, 0.4), (1, 0.8), (2, 0.6))]
    gap = statistics.paired(records, "c-vitae", "vae", "d_score")
    assert (gap.mean, gap.half_width, gap.seeds) == (pytest.approx(0.1), pytest.approx(0, abs=1e-12), 3)
    assert statistics.paired(records, "c-vitae", "u-vitae", "d_score") is None


def test_the_leader_is_bold_and_who_may_be_as_good_in_italics():
    near = [0.75, 0.62, 0.71, 0.68]
    records = [record("c-vitae", seed, d=0.7 + 0.01 * seed) for seed in range(4)]
    records += [record("u-vitae", seed, d=d) for seed, d in enumerate(near)]
    records += [record("vae", seed, d=0.3 + 0.02 * seed) for seed in range(4)]
    assert statistics.leader(records, "d_score") == ("c-vitae", ["u-vitae"])
    rows = tables.table(records, NAMES | {"u-vitae": "U-VITAE"}, bold=True)
    column = rows[0].index("D_score")
    marks = {row[0]: len(row[column]) - len(row[column].strip("*")) for row in rows[1:]}
    assert marks == {"VAE": 0, "C-VITAE": 4, "U-VITAE": 2}
    # One seed shows nothing.
    alone = [record("c-vitae", d=0.9), record("vae", d=0.1)]
    assert statistics.leader(alone, "d_score") == ("c-vitae", ["vae"])


def interval(*values):
    return statistics.Interval.of(list(values))


@pytest.mark.parametrize(
    ("values", "below", "finding"),
    [
        ((1.0, 1.1, 0.9), False, "supported"),
        ((1.0, 1.1, 0.9), True, "contradicted"),
        ((0.1, 0.9, 0.6), False, "undecided"),
        ((0.1, 0.9, 0.6), True, "undecided"),
        ((0.1, 0.2, 0.15), True, "supported"),
        ((5.0,), False, "undecided"),
    ],
)
def test_a_part_is_decided_by_its_whole_interval(values, below, finding):
    assert verdicts.Part("x", interval(*values), 0.5, below).finding == finding
    assert verdicts.Part("x", None, 0.5, below).finding == "not measured"


@pytest.mark.parametrize(
    ("findings", "verdict"),
    [
        ("ss", "holds"),
        ("sc", "holds in part"),
        ("su", "holds in part"),
        ("sn", "holds in part"),
        ("cu", "does not hold"),
        ("cn", "does not hold"),
        ("uu", "undecided"),
        ("un", "undecided"),
        ("nn", "not measured"),
    ],
)
def test_a_claim_is_judged_by_the_written_rule(findings, verdict):
    made = {
        "s": verdicts.Part("x", interval(1.0, 1.1, 0.9), 0.5),
        "c": verdicts.Part("x", interval(0.0, 0.1, 0.05), 0.5),
        "u": verdicts.Part("x", interval(0.1, 0.9, 0.6), 0.5),
        "n": verdicts.Part("x", None, 0.5),
    }
    claim = verdicts.Claim("name", "A sentence.", tuple(made[letter] for letter in findings), "page")
    assert claim.verdict == verdict


def test_the_posters_leader_is_in_its_numbers():
    for dataset in poster.POSTER.values():
        assert list(dataset) == ["vae", "beta-vae", "beta-tcvae", "dip-vae-ii", "u-vitae", "c-vitae"]
        assert max(dataset, key=lambda row: dataset[row][2]) == "c-vitae"


def test_commit_is_unknown_outside_a_clone(monkeypatch, tmp_path):
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "site-packages" / "vitae" / "support" / "provenance.py"))
    commit.cache_clear()
    assert commit() == "unknown"
    commit.cache_clear()
