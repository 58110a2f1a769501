"""What papermill may pass to a notebook: each refusal is one sentence that names the parameters there are."""

import pytest

from vitae import InputError
from vitae.report import parameters

DECLARED = """\
profile: str = ""  # smoke, quick or full
data: str = "celeba"  # which images
models: str = "vae"  # rows to compare
seed: int = 0  # of the runs
seeds: int = 0  # how many
compute: bool = True  # whether to train
device: str = "auto"  # auto, cpu or cuda
"""
NAMES = "profile, data, models, seed, seeds, compute, device"


def notebook(injected="", **edited):
    """The globals of a notebook whose cells were executed: parameters, what papermill injects, and a cell of magic."""
    namespace = {"In": ["", DECLARED, "%matplotlib inline"]}
    if injected:
        namespace["In"].append(f"# Parameters\n{injected}\n")
    for cell in (DECLARED, injected):
        exec(cell, namespace)
    return {**namespace, **edited}


@pytest.mark.parametrize(
    ("injected", "message"),
    [
        ("modells = 'vae'", "unknown parameter of this notebook 'modells'. Did you mean 'models'? Known: "),
        ("models = 3", "models must be text, got 3; papermill takes it as text by -r models 3"),
        ("models = ''", "models is empty: name at least one"),
        ("models = 'vae vea'", "unknown model 'vea'. Did you mean 'vae'?"),
        ("seeds = 'x'", "seeds must be a whole number of 0 or more, got x"),
        ("seeds = -3", "seeds must be a whole number of 0 or more, got -3"),
        ("seeds = 10**9", "seeds must be at most 1,000, got 1,000,000,000"),
        ("seed = 1.5", "seed must be a whole number of 0 or more, got 1.5"),
        ("seed = True", "seed must be a whole number of 0 or more, got True"),
        ("compute = 'no'", "compute must be True or False, got 'no'"),
        ("data = 'nosuch'", "unknown data 'nosuch'. Known: celeba, folder"),
        ("data = 'mnist'", "unknown data 'mnist'. Known: celeba, folder"),
        ("profile = 'fast'", "unknown profile 'fast'. Known: smoke, quick, full"),
        ("device = 'tpu'", "unknown device 'tpu'. Did you mean 'cpu'?"),
    ],
)
def test_a_parameter_that_cannot_be_used_is_refused(injected, message):
    with pytest.raises(InputError) as refusal:
        parameters.check(notebook(injected), data=["celeba", "folder"])
    assert str(refusal.value).startswith(message)
    assert NAMES in str(refusal.value)
    assert refusal.value._render_traceback_() == [f"InputError: {refusal.value}"]


def test_parameters_that_are_edited_in_place_are_checked_too():
    with pytest.raises(InputError, match="seeds must be a whole number"):
        parameters.check(notebook(seeds="3"))


@pytest.mark.parametrize("injected", ["", "seeds = 2\nmodels = 'vae c-vitae u-vitae+beta-tc'", "profile = ''"])
def test_usable_parameters_pass(injected):
    parameters.check(notebook(injected, anything_else=object()))


def test_outside_of_ipython_there_is_nothing_to_check():
    parameters.check({"seeds": "x"})
