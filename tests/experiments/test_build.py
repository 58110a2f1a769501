import itertools
import runpy
from pathlib import Path

import pytest
import torch

from vitae import InputError, configure, register_model
from vitae.experiments.build import build
from vitae.experiments.declaration import EXPERIMENTS, ROWS, Row, register_row
from vitae.models.architectures import ARCHITECTURES

SHAPE = (1, 28, 28)
SHAPES = {
    "mnist": SHAPE,
    "dsprites": (1, 64, 64),
    "smpl": (1, 64, 64),
    "celeba": (3, 64, 64),
    "shapes3d": (3, 64, 64),
    "folder": (3, 64, 64),
}


@pytest.mark.parametrize("dataset", [name for name, experiment in EXPERIMENTS.items() if experiment.rows])
def test_all_rows_have_the_same_size_latents_likelihood_and_schedule(dataset):
    rows = EXPERIMENTS[dataset].rows
    models = {row: build(configure(dataset, row, "full"), SHAPES[dataset]) for row in rows}
    sizes = [model.parameter_count() for model in models.values()]
    assert max(sizes) / min(sizes) < 1.10
    assert len({sum(model.spaces.values()) for model in models.values()}) == 1
    assert len({type(model.likelihood).__name__ for model in models.values()}) == 1
    assert len({configure(dataset, row, "full").schedule for row in rows}) == 1


@pytest.mark.parametrize("dataset", ["dsprites", "shapes3d"])
@pytest.mark.parametrize("row", ["capacity-vae", "factor-vae", "devae", "devae-2", "did"])
def test_sister_systems_have_the_networks_and_schedule_of_the_vae(dataset, row):
    vae, sister = (build(configure(dataset, name, "full"), SHAPES[dataset]) for name in ("vae", row))

    def sizes(model):
        return [sum(p.numel() for p in part.parameters()) for part in (model.encoder, model.decoder)]

    # DeVAE's decoder also takes the embedding of the stage.
    assert sizes(sister) == pytest.approx(sizes(vae), rel=0.02)
    assert sister.spaces == vae.spaces
    schedule, schedule_of_vae = (configure(dataset, name, "full").schedule for name in (row, "vae"))
    changed = {name for name, value in vars(schedule).items() if value != getattr(schedule_of_vae, name)}
    assert changed == ({"learning_rate", "batch"} if row == "did" else set())


@pytest.mark.parametrize("objective", ["beta-tc", "dip-ii"])
def test_objectives_of_the_aggregate_posterior_train_no_conditional_model(objective):
    with pytest.raises(InputError, match=rf"needs the aggregate posterior.*one of elbo, .*u-vitae\+{objective}"):
        configure("mnist", f"c-vitae+{objective}", "smoke")


@pytest.mark.parametrize(
    ("architecture", "objective"),
    [
        *itertools.product(["vae", "u-vitae"], ["elbo", "beta", "beta-tc", "dip-ii", "capacity"]),
        *itertools.product(["c-vitae"], ["elbo", "beta", "capacity"]),
    ],
)
def test_the_objective_does_not_change_the_latent_spaces(architecture, objective):
    model = build(configure("mnist", f"{architecture}+{objective}", "smoke"), SHAPE)
    assert model.spaces == build(configure("mnist", architecture, "smoke"), SHAPE).spaces


def test_initial_weights_depend_only_on_the_seed():
    torch.manual_seed(1)
    first = build(configure("mnist", "c-vitae", "smoke", 3), SHAPE).state_dict()
    torch.manual_seed(2)
    state = torch.get_rng_state()
    again = build(configure("mnist", "c-vitae", "smoke", 3), SHAPE).state_dict()
    other = build(configure("mnist", "c-vitae", "smoke", 4), SHAPE).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["encoder_A.head.weight"], other["encoder_A.head.weight"])
    assert torch.equal(torch.get_rng_state(), state), "building a model does not advance torch's global generator"


@pytest.mark.parametrize("architecture", ["c-vitae", "u-vitae"])
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("affine", "Affine()"),
        ("cpab", "CPAB((2, 4))"),
        ("cpab-8x3", "CPAB((8, 3))"),
        ("affine+cpab", "Sequential(Affine(), CPAB((2, 4)))"),
    ],
)
def test_the_model_has_the_named_transformation_and_the_run_its_name(architecture, name, expected):
    configuration = configure("mnist", architecture, "smoke", transform=name)
    model = build(configuration, SHAPE)
    assert repr(model.transformation) == expected
    assert model.decoder_P(torch.zeros(1, 4)).shape == (1, model.transformation.dim)
    assert configuration.run == f"{architecture}-seed0" + ("" if name == "affine" else f"-transform={name}")


@pytest.mark.parametrize(
    ("name", "starts_from_generators", "layers"),
    [("generators", True, 1), ("generators+hidden", True, 3), ("linear", False, 1), ("hidden", False, 2)],
)
def test_perspective_decoders_have_the_layers_and_start_that_they_are_named_after(name, starts_from_generators, layers):
    model = build(configure("mnist", "c-vitae", "smoke", perspective_decoder=name), SHAPE)
    gamma = model.decoder_P(torch.eye(4))
    assert torch.allclose(gamma, 0.1 * model.transformation.generators[:4]) == starts_from_generators
    assert sum(isinstance(module, torch.nn.Linear) for module in model.decoder_P.modules()) == layers


@pytest.fixture
def unregister():
    """Names of architectures and rows to remove after the test."""
    names = []
    yield names
    for name in names:
        for registry in (ARCHITECTURES, ROWS):
            registry.pop(name, None)


def test_a_registered_model_is_an_architecture_and_a_row(unregister):
    unregister.append("mine")
    register_model("mine", title="Mine", objective="beta")(ARCHITECTURES["vae"].build)
    assert ROWS["mine"] == Row("Mine", "mine", "beta")
    assert build(configure("mnist", "mine+dip-ii", "smoke"), SHAPE).spaces == {"z": 6}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"objective": "elbow"}, "unknown objective 'elbow'. Did you mean 'elbo'"),
        ({"objective": "elbow", "own_objective": True}, "unknown objective 'elbow'. Did you mean 'elbo'"),
        ({"objective": "difference"}, "mine cannot be trained by difference: choose one of elbo, beta"),
        ({"own_objective": True}, "objective elbo also trains vae, .* so it cannot be reserved for mine"),
    ],
)
def test_a_model_with_an_unsuitable_objective_is_not_registered(settings, message):
    with pytest.raises(InputError, match=message):
        register_model("mine", **settings)(ARCHITECTURES["vae"].build)
    assert "mine" not in ARCHITECTURES
    assert "mine" not in ROWS


def test_a_model_with_the_name_of_a_row_is_not_registered():
    with pytest.raises(InputError, match="the model name 'beta-vae' is taken"):
        register_model("beta-vae")(ARCHITECTURES["vae"].build)
    assert "beta-vae" not in ARCHITECTURES


def test_a_row_may_pair_a_built_in_architecture_with_another_objective(unregister):
    unregister.append("dip-u-vitae")
    register_row("dip-u-vitae", Row("DIP-U-VITAE", "u-vitae", "dip-ii"), module=__name__)
    assert set(build(configure("mnist", "dip-u-vitae", "smoke"), SHAPE).spaces) == {"z_A", "z_P"}


def test_the_example_of_a_custom_model_in_the_book_runs_and_learns(capsys):
    namespace = runpy.run_path(str(Path(__file__).parents[1] / "example_own_model.py"))
    first, second = namespace["progress"].losses
    assert second < first
    assert str(first) in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda model: None, "must return a vitae.models.base.GenerativeModel, got NoneType"),
        (lambda model: delattr(model, "spaces") or model, "must set spaces, .* got None"),
        (lambda model: setattr(model, "spaces", {"z": 0}) or model, r"must set spaces, .* got \{'z': 0\}"),
        (lambda model: delattr(model, "likelihood") or model, "must set likelihood"),
    ],
)
def test_an_incomplete_model_is_refused_before_it_trains(change, message, unregister):
    unregister.append("mine")
    register_model("mine")(lambda settings, shape: change(ARCHITECTURES["vae"].build(settings, shape)))
    with pytest.raises(InputError, match=message):
        build(configure("mnist", "mine", "smoke"), SHAPE)


def test_a_transforming_model_needs_both_spaces(unregister):
    def renamed(settings, shape):
        model = ARCHITECTURES["c-vitae"].build(settings, shape)
        model.spaces = {"z_A": 2}
        return model

    unregister.append("mine")
    register_model("mine", transforms=True)(renamed)
    with pytest.raises(InputError, match="needs z_A and z_P, got z_A"):
        build(configure("mnist", "mine", "smoke"), SHAPE)


@pytest.mark.parametrize("row", ["vae", "c-vitae", "devae", "archetypes"])
def test_decoders_name_the_codes_that_are_missing(row):
    model = build(configure("mnist", row, "smoke"), SHAPE)
    space = next(iter(model.spaces))
    with pytest.raises(InputError, match=f"with the codes of {space}, got x"):
        model.decode({"x": torch.zeros(1, 2)})
