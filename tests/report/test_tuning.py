"""The rule of equal tuning, and that the declarations follow it."""

import pytest
from example_record import example_record

from vitae.experiments.configuration import configure
from vitae.experiments.declaration import EXPERIMENTS
from vitae.experiments.records import load_trials
from vitae.report import tuning


def trial(elbo, d_star, model="beta-vae", **changes):
    record = example_record(model, elbo=elbo, overrides={"validation": True, "epochs": 12, **changes})
    record["scores"]["d_star"] = d_star
    return record


def test_the_highest_d_star_near_the_best_elbo_is_chosen():
    close, far, best = trial(-109.0, 0.5, beta=2.0), trial(-111.0, 0.9, beta=8.0), trial(-100.0, 0.3)
    assert tuning.chosen([close, far, best]) is close
    assert tuning.eligible([close, far, best]) == [close, best]
    assert tuning.changes(close) == {"beta": 2.0}


def test_a_try_is_told_by_all_that_was_varied_in_its_row():
    tries = [
        {"configuration": configure("mnist", "beta-vae", "full", **changes).as_json()}
        for changes in ({"validation": True}, {"beta": 8.0})
    ]
    assert [tuning.varied(each, tries) for each in tries] == [{"beta": 1.5}, {"beta": 8.0}]


def test_an_undefined_d_star_comes_last_and_ties_go_to_the_better_elbo():
    undefined, low = trial(-100.0, None), trial(-105.0, 0.01)
    assert tuning.chosen([undefined, low]) is low
    worse, better = trial(-103.0, 0.4), trial(-102.0, 0.4)
    assert tuning.chosen([worse, better]) is better


def test_tries_are_those_of_rows_with_a_d_star_in_the_order_of_the_tables():
    early = example_record("vae", overrides={"validation": True})
    of_c, of_b, other = trial(-1, 0.1, "c-vitae"), trial(-1, 0.1), trial(-1, 0.1, "u-vitae+beta")
    assert tuning.tries_by_row([early, of_c, other, of_b], ["beta-vae", "c-vitae"]) == {
        "beta-vae": [of_b],
        "c-vitae": [of_c],
    }


@pytest.mark.parametrize(
    ("elbos", "taken"),
    [
        ({1: -350.0, 2: -301.0, 3: -283.0, 4: -268.0, 5: -266.5, 6: -266.0}, 4),
        # Five and six were left out: 4 nats for three templates.
        ({1: -350.0, 2: -301.0, 3: -283.0, 4: -268.0, 7: -264.0}, 4),
        ({1: -100.0, 2: -90.0, 3: -80.0}, 3),
        # Worse with one more: the first comparison is after the second template.
        ({1: -100.0, 2: -90.0, 3: -95.0, 4: -20.0}, 2),
    ],
)
def test_the_elbow_is_where_one_more_template_only_refines(elbos, taken):
    assert tuning.elbow(elbos) == taken


@pytest.mark.parametrize("dataset", [name for name, each in EXPERIMENTS.items() if each.rows])
def test_every_row_has_equally_many_tries_and_the_declarations_have_what_was_chosen(dataset):
    tries = tuning.tries_by_row(load_trials(dataset), EXPERIMENTS[dataset].rows)
    assert len({len(each) for each in tries.values()}) <= 1
    for row, each in tries.items():
        stated = tuning.chosen(each)["configuration"]
        declared = configure(dataset, row, "full")
        assert stated["strengths"] == declared.strengths
        for name in ("perspective_decoder", "gamma_scale", "gamma_limit", "appearance", "perspective"):
            assert stated[name] == getattr(declared, name)
