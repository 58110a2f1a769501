import pytest

from vitae import InputError, configure, register_experiment
from vitae.experiments.declaration import EXPERIMENTS, PROFILES

SMALL = {
    "title": "Small",
    "rows": ["vae"],
    "seeds": dict.fromkeys(PROFILES, 1),
    "profiles": {profile: {"schedule": {"epochs": 1}} for profile in PROFILES},
}


def without(key):
    return {name: value for name, value in SMALL.items() if name != key}


@pytest.mark.parametrize(
    ("declaration", "message"),
    [
        ("title = ", "is not valid TOML"),
        (3, "must be a dictionary, TOML text or a path, got int"),
        (without("title"), "the declaration of experiment small lacks title."),
        ({**SMALL, "titel": "x"}, "Did you mean 'title'?"),
        ({**SMALL, "rows": "vae"}, "rows in the declaration of experiment small must be a list, got 'vae'."),
        ({**SMALL, "seeds": 3}, "seeds in the declaration of experiment small must be a table, got 3."),
        ({**SMALL, "seeds": {"smoke": 1}}, "lacks quick under seeds"),
        ({**SMALL, "resolution": 64}, "resolution in the declaration of experiment small must be a list, got 64."),
        ({**SMALL, "profiles": {key: {} for key in PROFILES}}, "lacks schedule under profiles.smoke"),
        ({**SMALL, "variants": [{"rows": ["vae"]}]}, "must have changes, rows, seeds"),
        (
            {**SMALL, "strengths": {"vea": {}}},
            "row under strengths in the declaration of experiment small, 'vea'.",
        ),
        ({**SMALL, "row_settings": {"vea": {}}}, "under row_settings"),
        ({"like": "celebA"}, "unknown experiment 'celebA'. Did you mean 'celeba'?"),
    ],
)
def test_a_bad_declaration_is_refused_in_one_sentence(declaration, message):
    with pytest.raises(InputError) as error:
        register_experiment("small", declaration)
    assert message in str(error.value)
    assert "small" not in EXPERIMENTS


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"strengths": {"vae": {"beta": 3.0}}}, "unknown strength of vae in the declaration of small, 'beta'."),
        ({"settings": {"apearance": 3}}, "unknown setting in the declaration of small, 'apearance'. Did you mean"),
        ({"profiles": {key: {"schedule": {"epoch": 1}} for key in PROFILES}}, "Did you mean 'epochs'?"),
        (
            {"profiles": {key: {"schedule": {"batch": 1}} for key in PROFILES}},
            "lacks epochs in the schedule of profile",
        ),
    ],
)
def test_a_bad_setting_in_a_declaration_is_refused_when_it_is_used(monkeypatch, change, message):
    monkeypatch.setattr("vitae.experiments.declaration.EXPERIMENTS._added_by", dict(EXPERIMENTS._added_by))
    register_experiment("small", {**SMALL, **change})
    monkeypatch.setitem(EXPERIMENTS, "small", EXPERIMENTS.pop("small"))
    with pytest.raises(InputError) as error:
        configure("small", "vae")
    assert message in str(error.value)


def test_an_experiment_can_take_what_it_lacks_from_another():
    assert EXPERIMENTS["folder"].rows == EXPERIMENTS["celeba"].rows
    assert EXPERIMENTS["folder"].settings == EXPERIMENTS["celeba"].settings
    assert EXPERIMENTS["folder"].dataset == "folder"
    assert EXPERIMENTS["folder"].variants == ()
