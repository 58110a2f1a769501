import numpy as np
import pytest

from vitae import configure, data
from vitae.evaluation.score import EXTRA, Codes
from vitae.experiments.build import build
from vitae.metrics import report


def test_other_scores_are_those_of_a_report_on_the_same_parts():
    """Codes that know the five factors with noise, learned from one part and tested on the other."""
    seen, unseen = (
        data.load("dsprites", part, source="embedded", size=size) for part, size in (("train", 900), ("test", 500))
    )
    noise = np.random.default_rng(0)

    def codes(part):
        spread = part.factors / part.factors.std(0)
        return {"z": spread @ np.triu(np.ones((5, 5))) + noise.normal(size=part.factors.shape)}

    found, configuration = Codes(codes(seen), codes(unseen)), configure("dsprites", "vae", "smoke")
    model = build(configuration, seen.shape)
    scores = EXTRA["other scores"](found, model, seen, unseen)
    train, test = found.together
    whole = report(train, seen.factors, test=(test, unseen.factors), names=seen.names, classes=(True,) * 5, fast=True)
    for name, printed in (("mig", "MIG"), ("sap", "SAP"), ("modularity", "modularity")):
        assert scores[name] == whole.values()[printed]
    # The report took a tenth of the votes.
    assert scores["factor_vae_score"] == pytest.approx(whole.factor_vae.score, abs=0.08)
    assert 0 < scores["mig"] < 0.5
    assert scores["reconstruction"]["mean"] == pytest.approx(0.25, abs=0.03)
