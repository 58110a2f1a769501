"""Scores of a trained model for its record."""

import numpy as np
import pytest

from vitae import InputError, configure, data
from vitae.evaluation.score import Codes, Trained, columns_by_name, names_of, scores_of
from vitae.experiments.build import build
from vitae.experiments.declaration import EXPERIMENTS
from vitae.metrics import (
    SCORES,
    Column,
    d_score,
    d_star,
    dci,
    factor_vae_score,
    mig,
    modularity,
    register_score,
    report,
    sap,
)
from vitae.metrics.d_star import averaged, probe, score_of
from vitae.metrics.probes import predictability


@pytest.fixture(scope="module")
def trained():
    """An untrained VAE with the codes of a good one: mixtures of the five factors with noise; draws have more noise."""
    train, test = (
        data.load("dsprites", part, source="embedded", size=size) for part, size in (("train", 900), ("test", 500))
    )
    noise = np.random.default_rng(0)

    def codes(part, scale):
        spread = part.factors / part.factors.std(0)
        return {"z": spread @ np.triu(np.ones((5, 5))) + scale * noise.normal(size=part.factors.shape)}

    model = build(configure("dsprites", "vae", "smoke", appearance=2, perspective=3), train.shape)
    trained = Trained(model, train, test, samples=1)
    # Cached properties: these are used instead of the model's own codes.
    trained.means, *trained.draws = (Codes(codes(train, scale), codes(test, scale)) for scale in (1.0, 2.0, 2.0))
    return trained


@pytest.fixture
def own_score():
    """Register scores that are removed after the test."""
    before = dict(SCORES)
    yield register_score
    for name in set(SCORES) - set(before):
        del SCORES[name]


def test_scores_of_codes_in_a_record_are_the_metrics_with_every_grid_factor_as_a_class(trained):
    train, test = trained.train, trained.test
    codes, test_codes = trained.means.joint
    how = {"classes": (True,) * 5, "names": train.names}
    held_out = {"test": (test_codes, test.factors)}
    both = np.vstack([codes, test_codes]), np.vstack([train.factors, test.factors])
    trees = dci(codes, train.factors, **held_out, **how)
    expected = {
        "dci": trees.disentanglement,
        "dci_completeness": trees.completeness,
        "dci_informativeness": trees.informativeness,
        "dci_importance": trees.importance.tolist(),
        "dci_shortfall": trees.shortfall,
        "mig": mig(codes, train.factors, **how).score,
        "modularity": modularity(codes, train.factors, **how).score,
        "sap": sap(codes, train.factors, **held_out, **how).score,
        "factor_vae_score": factor_vae_score(*both, **how).score,
    }
    assert scores_of(trained, ["dci", "mig", "modularity", "sap", "factor_vae_score"]) == expected
    assert 0 < expected["mig"] < 0.5
    assert scores_of(trained, ["reconstruction"])["reconstruction"]["mean"] == pytest.approx(0.25, abs=0.03)


def test_knn_scores_in_a_record_treat_factors_as_the_dataset_declares_them(trained):
    train, test = trained.train, trained.test
    assert train.classes == (True, False, False, False, False)
    scores = scores_of(trained, ["probes", "d_score", "accuracy"])

    def probes(codes):
        how = {"test": (codes.test["z"], test.factors), "classes": train.classes, "names": train.names}
        return predictability(codes.train["z"], train.factors, **how).by_factor

    of_means, of_draws = probes(trained.means), [probes(codes) for codes in trained.draws]
    assert scores["guessing"] == {name: each.guessing for name, each in of_means.items()}
    assert scores["guessing"]["x"] == -1 / 11 < scores["guessing"]["shape"]
    assert scores["predictability"] == {"z": {name: each.reached for name, each in of_means.items()}}
    # The mean over draws.
    for name in of_means:
        mean = sum(each[name].reached for each in of_draws) / len(of_draws)
        assert scores["predictability_of_draws"]["z"][name] == pytest.approx(mean)
    assert scores["accuracy_of_means"] == scores["predictability"]["z"]["shape"]
    assert scores["accuracy"] == pytest.approx(scores["predictability_of_draws"]["z"]["shape"])
    how = {"test": (trained.means.test["z"], test.factors), "classes": train.classes}
    assert scores["d_score"] == d_score(trained.means.train["z"], train.factors, **how).score


def test_d_star_in_a_record_is_that_of_the_draws_together_and_has_its_coverage(trained):
    train, test = trained.train, trained.test
    scores = scores_of(trained, ["d_star_of_draws"])
    how = {"classes": train.classes}
    probed = [
        probe(codes.train["z"], train.factors, test=(codes.test["z"], test.factors), seed=n, **how)
        for n, codes in enumerate(trained.draws)
    ]
    expected = score_of(averaged(probed))
    assert (scores["d_star"], scores["d_star_coverage"]) == (expected.score, expected.coverage)
    of_means = d_star(trained.means.train["z"], train.factors, test=(trained.means.test["z"], test.factors), **how)
    assert scores["d_star_of_means"] == of_means.score
    assert scores["d_star_importance"]["means"]["latents"] == of_means.importance.tolist()
    groups = scores["d_star_groups"]
    assert groups["latents"] == [["z1"], ["z2"], ["z3"], ["z4"], ["z5"]]
    assert sorted(groups["spaces"][0] + groups["spaces"][1]) == ["z1", "z2", "z3", "z4", "z5"]
    assert 0 <= scores["d_star_spaces"] <= 1


def test_a_choice_among_templates_is_one_latent(trained):
    """Its code has a column for each template, of which none alone knows the class."""
    train, test = trained.train, trained.test
    model = build(configure("dsprites", "archetypes", "smoke", templates=3, perspective=4), train.shape)
    archetypes = Trained(model, train, test, samples=1)
    parts = [{"z_A": np.eye(3)[part.factors[:, 0].astype(int)], "z_P": part.factors[:, 1:]} for part in (train, test)]
    archetypes.means, archetypes.draws = Codes(*parts), [Codes(*parts)]
    scores = scores_of(archetypes, ["probes", "d_star_of_draws", "accuracy"])
    assert scores["latents"] == ["k", "z_P1", "z_P2", "z_P3", "z_P4"]
    assert scores["d_star_groups"] == {
        "latents": [["k"], ["z_P1"], ["z_P2"], ["z_P3"], ["z_P4"]],
        "spaces": [["k"], ["z_P1", "z_P2", "z_P3", "z_P4"]],
    }
    assert scores["d_star_importance"]["draws"]["latents"][0] == pytest.approx([1, 0, 0, 0, 0])
    assert scores["d_star"] == scores["d_star_spaces"] == scores["accuracy"] == 1
    use = np.bincount(test.factors[:, 0].astype(int), minlength=3) / len(test.factors)
    assert scores_of(archetypes, ["templates"]) == {"template_use": pytest.approx(use.tolist()), "templates_living": 3}
    archetypes.means = Codes(parts[0], {"z_A": np.eye(3)[np.r_[0, np.ones(999, int)]], "z_P": parts[1]["z_P"]})
    # One image of a thousand is less than a tenth of a third, and none is too.
    assert scores_of(archetypes, ["templates"])["templates_living"] == 1
    assert scores_of(trained, ["templates"]) == {}
    # Equal codes have no neighbours of their own: chance chooses among them, and the number is guessed.
    assert scores["predictability"]["z_A"]["x"] == pytest.approx(-1 / 11, abs=0.08)


def test_the_latents_of_two_spaces_are_their_groups(trained):
    train, test = trained.train, trained.test
    model = build(configure("dsprites", "u-vitae", "smoke", appearance=1, perspective=4), train.shape)
    two_spaces = Trained(model, train, test, samples=1)
    parts = [{"z_A": part.factors[:, :1], "z_P": part.factors[:, 1:]} for part in (train, test)]
    two_spaces.means, two_spaces.draws = Codes(*parts), [Codes(*parts)]
    scores = scores_of(two_spaces, ["d_star_of_draws", "accuracy"])
    assert scores["d_star_groups"]["spaces"] == [["z_A1"], ["z_P1", "z_P2", "z_P3", "z_P4"]]
    assert scores["d_star_spaces"] == scores["d_star_spaces_of_means"] == 1
    assert np.array(scores["d_star_importance"]["draws"]["spaces"]).argmax(0).tolist() == [0, 1, 1, 1, 1]
    assert scores["accuracy"] == 1


def test_a_report_on_the_same_parts_has_the_same_numbers(trained):
    scores = scores_of(trained, ["mig", "sap", "modularity", "factor_vae_score"])
    (codes, test_codes), train = trained.means.joint, trained.train
    whole = report(codes, train.factors, test=(test_codes, trained.test.factors), names=train.names, fast=True)
    for name, heading in (("mig", "MIG"), ("sap", "SAP"), ("modularity", "modularity")):
        assert scores[name] == whole.values()[heading]
    # The report has a tenth of the votes.
    assert scores["factor_vae_score"] == pytest.approx(whole.factor_vae_score.score, abs=0.08)


def test_a_score_from_outside_the_package_is_in_records_tables_and_reports(trained, own_score):
    @own_score("spread", column=Column("spread of codes", "spread", asks="how far apart are the codes?"))
    def spread(codes, factors, *, test=None, classes=None, names=None, seed=0, fast=False):
        assert len(codes) == len(factors)
        assert len(test[0]) == len(test[1])
        return float(codes.std())

    expected = float(trained.means.joint[0].std())
    assert "spread" in names_of([])
    assert scores_of(trained, ["spread"]) == {"spread": expected}
    assert columns_by_name()["spread"].heading == "spread of codes"
    (codes, test_codes), train = trained.means.joint, trained.train
    found = report(codes, train.factors, test=(test_codes, trained.test.factors), fast=True)
    assert found.spread == found.as_json()["spread"] == found.values()["spread of codes"] == expected
    assert ["spread of codes", f"{expected:.3f}", "how far apart are the codes?"] in found.rows()


def test_a_score_from_outside_the_package_that_fails_is_named_in_one_sentence(trained, own_score):
    @own_score("broken", column="broken")
    def broken(codes, factors, **protocol):
        return 1 / 0

    with pytest.raises(InputError, match=r"^the score broken failed \(ZeroDivisionError: division by zero\): fix it"):
        scores_of(trained, ["broken"])


def test_a_score_without_the_stored_attribute_is_refused(trained, own_score):
    @own_score("wordy")
    def wordy(codes, factors, **settings):
        return "much"

    with pytest.raises(InputError, match="the score wordy must return a number or an object with the attribute score"):
        scores_of(trained, ["wordy"])


def test_scores_of_codes_are_null_for_datasets_with_one_factor(trained):
    train, test = trained.train, trained.test
    one = [data.Dataset(part.images, part.factors[:, :1], part.about[:1], part.source) for part in (train, test)]
    trained = Trained(trained.model, *one, samples=1)
    trained.means = Codes({"z": train.factors}, {"z": test.factors})
    assert scores_of(trained, ["d_score"]) == {"d_score": None}
    assert scores_of(trained, ["dci"]) == {"dci": None, "dci_completeness": None, "dci_informativeness": None}


def test_images_without_factors_have_a_record(trained):
    train, test = (
        data.Dataset(part.images, part.factors[:, :0], (), part.source) for part in (trained.train, trained.test)
    )
    scores = scores_of(Trained(trained.model, train, test, samples=1), [*names_of(["d_star_of_draws"]), "accuracy"])
    assert scores["factors"] == []
    assert scores["predictability"] == scores["predictability_of_draws"] == {"z": {}}
    assert scores["d_star"] is scores["accuracy"] is None


def test_the_scores_of_an_experiment_are_those_always_computed_and_those_that_it_lists():
    always = ["d_score", "likelihood", "probes"]
    assert names_of(EXPERIMENTS["dsprites"].scores)[: len(always)] == always
    assert names_of(["mig", "mig", "d_score"]) == [*always, "mig"]
    with pytest.raises(InputError, match=r"unknown score 'mgi'\. Did you mean 'mig'"):
        names_of(["mgi"])
