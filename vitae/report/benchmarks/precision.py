"""What a lower precision costs in scores: `vitae bench precision` trains the same seeds in float32 and in bf16.

The model is C-VITAE on MNIST with profile quick. Runs that already have records are not repeated. Differences are
paired by seed. TF32, which only GPUs have, is compared if there is a GPU.
"""

from vitae.experiments.configuration import configure
from vitae.experiments.run import run_together
from vitae.report import statistics
from vitae.support.devices import pick_device
from vitae.support.provenance import environment

SCHEMA = 1
SCORES = ("train_elbo", "test_elbo", "log_likelihood", "d_score", "z_A:digit", "z_P:digit", "z_P:rotation", "z_P:dx")


def run(repeats: int = 5) -> dict:
    """Train the runs that have no records, and compare all.

    Args:
        repeats: number of seeds.
    """
    device = pick_device()
    names = ("float32", "bf16") if device.type == "cpu" else ("float32", "tf32", "bf16")
    records = {
        name: run_together([configure("mnist", "c-vitae", "quick", seed, precision=name) for seed in range(repeats)])
        for name in names
    }
    compared = []
    for name in names[1:]:
        pairs = list(zip(records[name], records["float32"], strict=True))
        rows = {}
        for score in SCORES:
            values, exact = ([statistics.value(record, score) for record in side] for side in zip(*pairs, strict=True))
            both = {"float32": exact, name: values, "difference": [a - b for a, b in zip(values, exact, strict=True)]}
            rows[score] = {kind: vars(statistics.Interval.of(numbers)) for kind, numbers in both.items()}
        compared.append({"precision": name, "scores": rows})
    return {
        "schema": SCHEMA,
        "command": "vitae bench precision",
        "model": "c-vitae",
        "profile": "quick",
        "seeds": repeats,
        "data": records["float32"][0]["data"],
        "seconds": {name: sum(r["seconds"]["train"] for r in records[name]) for name in names},
        "compared": compared,
        **environment(device),
    }


def summary(found: dict) -> str:
    """A record as text for a terminal."""
    lines = [
        f"{found['model']}, profile {found['profile']}, {found['seeds']} seeds, mean and half of the 95% interval:"
    ]
    for compared in found["compared"]:
        name = compared["precision"]
        for score, row in compared["scores"].items():
            exact, other, difference = row["float32"], row[name], row["difference"]
            lines.append(
                f"  {score}: float32 {exact['mean']:.3f}, {name} {other['mean']:.3f}, "
                f"difference {difference['mean']:+.3f} ± {difference['half_width']:.3f}"
            )
    return "\n".join(lines)
