"""Tables of records: order, titles, bold numbers and formats."""

import csv

import pytest
from example_record import example_record as record

from vitae import InputError
from vitae.experiments.declaration import ROWS
from vitae.report import poster, statistics, tables


def test_a_table_has_means_over_seeds_in_the_posters_order_beside_its_numbers():
    records = [
        record("c-vitae"),
        record("vae", 0, elbo=-100.0, digit=0.4),
        record("vae", 1, elbo=-102.0, digit=0.6),
    ]
    heading, vae, vitae = tables.table(records, poster=poster.POSTER["mnist"])
    cells = dict(zip(heading, vae, strict=True))
    assert (vae[0], vitae[0]) == ("VAE", "C-VITAE")
    assert cells["seeds"] == "2"
    assert cells["test ELBO"] == "-101.0 ± 12.7"
    assert cells["D (kNN, means)"] == "0.500 ± 0.000"
    assert vitae[-3:] == ["-139", "-141", "0.884"]


def test_records_of_different_profiles_cannot_be_in_one_table():
    with pytest.raises(InputError, match="different profiles or datasets cannot be in one table"):
        tables.table([record(), record(profile="full")])


def test_records_of_different_data_sources_cannot_be_in_one_table():
    with pytest.raises(InputError, match="different data sources cannot be in one table: train all with one --source"):
        tables.table([record(), record(seed=1, source="download")])


def test_a_knowledge_table_has_a_row_per_space_and_a_column_per_factor():
    """Shares of the way from guessing, which is right in 0.12, to certainty."""
    rows = tables.knowledge_table([record("c-vitae"), record(digit=0.4), record(seed=1, digit=0.6)])
    assert rows == [
        ["model", "from", "digit"],
        ["VAE", "z", "0.43 ± 1.44"],
        ["C-VITAE", "z_A", "0.77"],
        ["C-VITAE", "z_P", "0.09"],
    ]


def test_a_table_says_where_d_star_is_undefined():
    runs = [record("vae", seed) for seed in range(3)] + [record("c-vitae", seed) for seed in range(2)]
    for run, d_star in zip(runs, (0.5, None, 0.7, None, None), strict=True):
        run["scores"] |= {"d_star": d_star, "d_star_coverage": 0.5}
    heading, *rows = tables.table([*runs, record("u-vitae")])
    assert [row[heading.index("D*")] for row in rows] == ["0.600 ± 1.271 (2 of 3 seeds)", "", "undefined"]


def test_a_caption_says_how_far_likelihoods_can_be_read():
    run = record()
    assert "higher" not in tables.caption([run])
    run["scores"] |= {"log_likelihood_gain": {"mean": 2.34, "samples": 1000}, "bernoulli_limit": -252.61}
    text = tables.caption([run])
    assert "With K = 1,000, log p(x) of a run is at most 2.3 nats higher." in text
    assert "no model can exceed -252.6 nats" in text
    run["scores"]["bernoulli_limit"] = -0.004
    assert "exceed" not in tables.caption([run])


def test_all_formats_have_the_same_cells():
    rows = tables.table([record(), record("c-vitae")])
    assert list(csv.reader(tables.as_csv(rows).splitlines())) == rows
    text = tables.as_text(rows).splitlines()
    assert text[1].split() == [cell for cell in rows[1] if cell]
    markdown = tables.as_markdown(rows).splitlines()
    assert [cell.strip().replace("\\_", "_") for cell in markdown[0].strip("|").split("|")] == rows[0]
    assert len(markdown) == 4


def test_for_a_program_each_number_has_a_cell_of_its_own():
    first = [record("vae", 0, elbo=-100.0), record("vae", 1, elbo=-102.0), record("c-vitae")]
    second = [record("vae", 0, elbo=-99.5)]
    second[0]["data"]["images"] = "5cf4cb0000000000"
    rows = list(csv.DictReader(tables.as_csv(tables.numbers([first, second])).splitlines()))
    assert [(row["model"], row["images"]) for row in rows] == [
        ("vae", ""),
        ("c-vitae", ""),
        ("vae", "5cf4cb0000000000"),
    ]
    several, _, single = rows
    assert float(several["test_elbo"]) == -101.0
    assert float(several["test_elbo_half_width"]) == pytest.approx(12.706, abs=1e-3)
    assert several["test_elbo_seeds"] == "2"
    assert (single["test_elbo"], single["test_elbo_half_width"], single["test_elbo_seeds"]) == ("-99.5", "", "1")
    assert (several["d_star"], several["d_star_seeds"]) == ("", "0")


def test_the_best_is_bold_and_those_not_significantly_below_are_in_italics():
    near = [0.75, 0.62, 0.71, 0.68]
    records = [record("c-vitae", seed, d=0.7 + 0.01 * seed) for seed in range(4)]
    records += [record("u-vitae", seed, d=d) for seed, d in enumerate(near)]
    records += [record("vae", seed, d=0.3 + 0.02 * seed) for seed in range(4)]
    assert statistics.leader(records, "d_score") == ("c-vitae", ["u-vitae"])
    rows = tables.table(records, bold=True)
    column = rows[0].index("D (kNN, means)")
    marks = {row[0]: len(row[column]) - len(row[column].strip("*")) for row in rows[1:]}
    assert marks == {"VAE": 0, "C-VITAE": 4, "U-VITAE": 2}
    # A single seed has no interval.
    alone = [record("c-vitae", d=0.9), record("vae", d=0.1)]
    assert statistics.leader(alone, "d_score") == ("c-vitae", ["vae"])


@pytest.mark.parametrize("model", ["capacity-vae", "factor-vae", "devae", "devae-2", "did"])
def test_rows_of_the_sister_systems_have_titles(model):
    """Without a list of names from the caller."""
    records = [record(model)]
    for rows in (tables.table(records), tables.knowledge_table(records)):
        assert rows[1][0] == ROWS[model].title != model
