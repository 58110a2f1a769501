"""Files in all formats of SMPL models, made from the open body; they contain nothing of SMPL."""

import pickle
import sys
import types

import numpy as np
import scipy.sparse

from vitae.data.rendering.bodies import GROUPS, JOINTS, open_body

# SMPL joint -> our name of it; joints that are not listed belong to the trunk.
JOINT_NAMES = {
    **{1: "upperleg.L", 2: "upperleg.R", 4: "lowerleg.L", 5: "lowerleg.R", 7: "foot.L", 8: "foot.R"},
    **{13: "clavicle.L", 14: "clavicle.R", 16: "upperarm.L", 17: "upperarm.R", 18: "lowerarm.L", 19: "lowerarm.R"},
    **{20: "wrist.L", 21: "wrist.R"},
}
# Ours (x left, y back, z up) to SMPL's (x left, y up, z front).
TO_SMPL = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
THICK = 3  # the coefficient of thickness, negative towards thick
TALL = 0  # the coefficient of size, which changes the volume even more


def arrays() -> dict[str, np.ndarray]:
    """The arrays of a model file: the open body at weight 0.5 as the template, thickness along -beta_3."""
    body = open_body()
    template = body.vertices[1] @ TO_SMPL.T
    directions = np.zeros((*template.shape, 10))
    directions[..., THICK] = -(body.vertices[2] - body.vertices[0]) @ TO_SMPL.T / 4
    directions[..., TALL] = 0.08 * template
    for i in (1, 2, 4, 5, 6, 7, 8, 9):
        directions[:, i % 3, i] = 0.001 * np.sin(i * template[:, 1] * 5)
    # Least squares over the nearest 40 vertices, so that the regressor reproduces the open body's joints.
    regressor = np.zeros((24, len(template)))
    joints = body.joints[1] @ TO_SMPL.T
    for joint, name in JOINT_NAMES.items():
        position = joints[JOINTS.index(name)]
        near = np.argsort(((template - position) ** 2).sum(1))[:40]
        system = np.vstack([template[near].T, np.ones(40)])
        regressor[joint, near] = np.linalg.lstsq(system, np.append(position, 1), rcond=None)[0]
    regressor[~regressor.any(1)] = 1 / len(template)  # joints that vitae does not use
    weights = np.zeros((len(template), 24))
    weights[:, 0] = body.weights[:, 0]
    for joint, name in JOINT_NAMES.items():
        if name in GROUPS:
            weights[:, joint] = body.weights[:, GROUPS.index(name)]
    return {
        "v_template": template,
        "shapedirs": directions,
        "posedirs": np.zeros((len(template), 3, 207)),
        "J_regressor": regressor,
        "weights": weights,
        "f": body.faces.astype(np.uint32),
    }


def write_npz(path, model):
    np.savez(path, **model, kintree_table=np.zeros((2, 24)))


def write_plain_pickle(path, model):
    """The release without chumpy: arrays, a sparse regressor, and entries that vitae ignores."""
    stored = {**model, "J_regressor": scipy.sparse.csc_matrix(model["J_regressor"]), "bs_type": "lrotmin"}
    path.write_bytes(pickle.dumps(stored, protocol=2))


def write_chumpy_pickle(path, model):
    """The first release: some arrays are inside objects of chumpy, which is simulated here."""
    package, ch, reordering = (types.ModuleType(name) for name in ("chumpy", "chumpy.ch", "chumpy.reordering"))

    class Ch:
        def __init__(self, **state):
            self.__dict__.update(state)

    class Select(Ch):
        pass

    for cls, module in ((Ch, ch), (Select, reordering)):
        cls.__module__ = module.__name__
        cls.__qualname__ = cls.__name__
        setattr(module, cls.__name__, cls)
    before = {name: sys.modules.get(name) for name in ("chumpy", "chumpy.ch", "chumpy.reordering")}
    sys.modules |= {"chumpy": package, "chumpy.ch": ch, "chumpy.reordering": reordering}
    try:
        directions = model["shapedirs"]
        stored = {
            **model,
            "v_template": Ch(x=model["v_template"], _dirty_vars=set()),
            # The first ten of twenty directions, as chumpy stores a slice.
            "shapedirs": Select(
                a=Ch(x=np.concatenate([directions, directions], axis=2)),
                idxs=np.arange(directions.size * 2).reshape(*directions.shape[:2], 20)[..., :10].ravel(),
                preferred_shape=directions.shape,
            ),
            "J_regressor": scipy.sparse.csc_matrix(model["J_regressor"]),
        }
        content = pickle.dumps(stored, protocol=2)
    finally:
        for name, module in before.items():
            sys.modules.pop(name) if module is None else sys.modules.__setitem__(name, module)
    path.write_bytes(content)


FORMATS = {"model.npz": write_npz, "model.pkl": write_plain_pickle, "basicmodel_neutral.pkl": write_chumpy_pickle}
