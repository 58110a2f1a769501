import itertools

import pytest

from vitae import InputError, configure
from vitae.experiments.configuration import architecture_and_objective, configuration_of
from vitae.experiments.declaration import choose_profile
from vitae.experiments.records import read_record, write_record
from vitae.models.objectives import OBJECTIVES


@pytest.mark.parametrize(
    ("architecture", "objective"),
    [
        *itertools.product(["vae", "u-vitae"], ["elbo", "beta", "beta-tc", "dip-ii", "capacity"]),
        # The aggregate posterior of a conditional model is not known.
        *itertools.product(["c-vitae"], ["elbo", "beta", "capacity"]),
    ],
)
def test_any_architecture_takes_any_general_objective_that_it_can(architecture, objective):
    configuration = configure("mnist", f"{architecture}+{objective}", "smoke")
    assert architecture_and_objective(configuration.model) == (architecture, objective)
    assert configuration.strengths == OBJECTIVES[objective].strengths


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("vae+factor", r"vae cannot be trained by factor: choose one of elbo, beta, beta-tc, dip-ii, capacity\."),
        ("did+elbo", r"did cannot be trained by elbo: choose one of difference\."),
        ("c-vitae+decremental", r"c-vitae cannot be trained by decremental"),
    ],
)
def test_objectives_of_one_architecture_train_no_other(model, message):
    with pytest.raises(InputError, match=message):
        configure("dsprites", model, "smoke")


def test_devaes_betas_must_increase():
    with pytest.raises(InputError, match="betas must increase from stage to stage, got 1, 50, 40"):
        configure("dsprites", "devae", "smoke", beta_2=50.0)


def test_the_name_of_a_run_contains_its_changes():
    declared = configure("mnist", "beta-vae", "smoke").strengths["beta"]
    unchanged = configure("mnist", "beta-vae", "smoke", epochs=None, beta=declared, batch=64)
    assert unchanged.run == "beta-vae-seed0"
    assert unchanged == configure("mnist", "beta-vae", "smoke")
    changed = configure("mnist", "beta-vae", "smoke", epochs=5, beta=2.0)
    assert changed.run == "beta-vae-seed0-beta=2.0-epochs=5"
    assert (changed.schedule.epochs, changed.strengths) == (5, {"beta": 2.0})
    assert configure("mnist", "beta-vae", "smoke", epochs=5, beta=2) == changed, "2 and 2.0 are the same setting"


@pytest.mark.parametrize(
    ("arguments", "changes", "message"),
    [
        (("mnits", "vae"), {}, "unknown dataset 'mnits'. Did you mean 'mnist'"),
        (("mnist", "c-vitea"), {}, "unknown model 'c-vitea'. Did you mean 'c-vitae'"),
        (("mnist", "vae+betta"), {}, "unknown objective 'betta'. Did you mean 'beta'"),
        (("mnist", "vea+beta"), {}, "unknown architecture 'vea'. Did you mean 'vae'"),
        (("mnist", "vae", "fulll"), {}, "unknown profile 'fulll'. Did you mean 'full'"),
        (("mnist", "vae", "smoke", -1), {}, "seed must be a whole number of 0 or more, got -1"),
        (("mnist", "vae"), {"epochs": -3}, "epochs must be a whole number of 0 or more, got -3"),
        (("mnist", "vae"), {"epochs": 2**61}, "of 0 or more, got 2305843009213693952 (100,000 at most)"),
        (
            ("mnist", "vae"),
            {"batch": 2**61},
            "1 or more, got 2305843009213693952 (10,000,000 at most)",
        ),
        (
            ("mnist", "vae"),
            {"samples": 10**9},
            "1 or more, got 1000000000 (100,000 at most)",
        ),
        (
            ("mnist", "vae"),
            {"train_size": 2**61},
            "2 or more, got 2305843009213693952 (10,000,000 at most)",
        ),
        (("mnist", "vae"), {"samples": 0}, "samples must be a whole number of 1 or more, got 0"),
        (("mnist", "vae", "smoke", 10**400), {}, "seed must be a whole number of 0 or more, got 1000"),
        (("mnist", "vae", "smoke", "0"), {}, "seed must be a whole number of 0 or more, got 0"),
        (("mnist", 3), {}, "unknown model '3'"),
        (("mnist", "vae"), {"epochs": 2.5}, "epochs must be a whole number of 0 or more, got 2.5"),
        (("mnist", "vae"), {"learning_rate": float("nan")}, "learning_rate must be a number of 0 or more, got nan"),
        (("mnist", "beta-vae"), {"beta": float("inf")}, "beta must be a number of 0 or more, got inf"),
        (("mnist", "vae"), {"appearance": 10**20}, "appearance must be"),
        (("mnist", "vae"), {"validation": "no"}, "validation must be True or False, got 'no'"),
        (("mnist", "vae"), {"likelihood": "foo"}, "unknown likelihood 'foo'"),
        (("mnist", "vae"), {"beta": 2.0}, "the objective of vae has no beta"),
        (("mnist", "vae"), {"epoch": 2}, "unknown setting 'epoch'. Did you mean 'epochs'"),
    ],
)
def test_the_error_names_the_invalid_setting(arguments, changes, message):
    with pytest.raises(InputError) as error:
        configure(*arguments, **changes)
    assert message in str(error.value)


def test_the_profile_is_the_argument_the_environment_variable_or_quick(monkeypatch):
    assert choose_profile() == "quick"
    monkeypatch.setenv("VITAE_PROFILE", "smoke")
    assert choose_profile() == "smoke"
    assert choose_profile("full") == "full"


def test_a_record_preserves_every_digit_of_its_configuration(smoke_run, tmp_path):
    _, _, record = smoke_run
    configuration = configure("mnist", "vae", "smoke", learning_rate=0.00123456789)
    write_record(tmp_path / "r.json", {**record, "configuration": configuration.as_json()})
    assert configuration_of(read_record(tmp_path / "r.json")) == configuration


def test_invalid_transformations_are_refused():
    for name in ("afine", "cpab-8", "affine+", "cpab-0x4", ""):
        with pytest.raises(InputError, match=r"unknown transformation|tessellation is"):
            configure("mnist", "c-vitae", "smoke", transform=name)
    with pytest.raises(InputError, match="unknown transformation 'warp'"):
        configure("mnist", "c-vitae", transform="warp", perspective_decoder="hidden")


def test_models_with_one_latent_space_refuse_a_transformation():
    with pytest.raises(InputError, match="architecture of beta-vae has one latent space and no transformation"):
        configure("mnist", "beta-vae", "smoke", transform="cpab")
    with pytest.raises(InputError, match="architecture of vae has one latent space and no transformation"):
        configure("mnist", "vae", perspective_decoder="hidden")
    assert configure("mnist", "beta-vae", "smoke", transform="affine").overrides == {}


def test_a_transformation_without_generators_gets_a_hidden_layer():
    changed = configure("mnist", "c-vitae", transform="cpab")
    assert (changed.perspective_decoder, changed.overrides) == ("hidden", {"transform": "cpab"})
    assert configure("mnist", "c-vitae", transform="affine+cpab").perspective_decoder == "generators"
    with pytest.raises(InputError, match="cpab has no generators, which perspective_decoder generators starts from"):
        configure("mnist", "c-vitae", transform="cpab", perspective_decoder="generators")
