"""A small record of a run, as `vitae.experiments.records` writes it, for tests."""


def example_record(model="vae", seed=0, profile="quick", overrides=None, source="embedded", **numbers):
    """A record of MNIST; `elbo`, `d` and `digit` set the test ELBO, D_score and a VAE's digit accuracy."""
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
        "score_versions": {"likelihood": 1},
        "scores": {
            "train_elbo": {"mean": -100.0, "standard_error": 1.0},
            "test_elbo": {"mean": numbers.get("elbo", -101.0), "standard_error": 1.0},
            "log_likelihood": {"mean": -99.0, "standard_error": 1.0},
            "samples": 10,
            "d_score": numbers.get("d", 0.5),
            "factors": ["digit"],
            "guessing": {"digit": 0.12},
            "predictability": spaces,
            "predictability_of_draws": spaces,
        },
    }
