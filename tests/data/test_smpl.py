import contextlib
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from vitae import InputError, data
from vitae.data import smpl, smpl_pickle
from vitae.data.rendering.bodies import POSES, open_body, volume

sys.path.insert(0, str(Path(__file__).parent))
import smpl_files

MODEL = smpl_files.arrays()


@pytest.fixture(params=smpl_files.FORMATS)
def file(request, tmp_path):
    path = tmp_path / "smpl" / request.param
    path.parent.mkdir()
    smpl_files.FORMATS[request.param](path, MODEL)
    return path


def test_every_file_format_gives_the_same_bodies(file, tmp_path):
    bodies = data.load("smpl", "test", root=tmp_path, size=12)
    assert bodies.source.kind == "data-root"
    assert file.name in bodies.source.location
    assert "non-commercial" in bodies.licence
    assert str(bodies.about[0]) == "shape (-2 to 3, standard deviations, thin to thick)"
    assert "chumpy" not in sys.modules
    reference = tmp_path / "reference.npz"
    smpl_files.write_npz(reference, MODEL)
    np.testing.assert_allclose(smpl.smpl_body(file).joints, smpl.smpl_body(reference).joints)
    from_file = data.load("smpl", "test", root=file, size=12)
    assert torch.equal(bodies.images, from_file.images)


def test_an_smpl_model_made_from_the_open_body_is_posed_like_it(tmp_path):
    """Two routes to one mesh: through SMPL's axes, joints and shape directions, and directly."""
    path = tmp_path / "model.npz"
    smpl_files.write_npz(path, MODEL)
    body = smpl.smpl_body(path)
    for pose in POSES.values():
        # The template of the model is the open body at weight 0.5.
        np.testing.assert_allclose(body.posed(0.0, *pose), open_body().posed(0.5, *pose), atol=2e-3)


def test_the_shape_follows_thickness_not_height_with_the_right_sign(tmp_path):
    path = tmp_path / "model.npz"
    smpl_files.write_npz(path, MODEL)
    body = smpl.smpl_body(path)
    direction = (body.vertices[1] - body.vertices[0]) / np.ptp(body.anchors)
    expected = -MODEL["shapedirs"][..., smpl_files.THICK] @ smpl_files.TO_SMPL
    np.testing.assert_allclose(direction, expected, atol=1e-12)
    volumes = [volume(body.posed(shape, 12, 4), body.faces) for shape in (-2, 0, 3)]
    assert volumes[0] < volumes[1] < volumes[2]


def test_pose_correctives_are_rotated_to_our_axes(tmp_path):
    """A corrective of the left arm along SMPL's z axis (to the front) moves vertices towards the viewer."""
    model = {**MODEL, "posedirs": np.zeros((len(MODEL["v_template"]), 3, 207))}
    left_shoulder = 16 - 1
    # Row x, column x of R - I, which is cos - 1 for a rotation about SMPL's z axis.
    model["posedirs"][:, 2, 9 * left_shoulder] = -0.1
    path = tmp_path / "model.npz"
    smpl_files.write_npz(path, model)
    body, plain = smpl.smpl_body(path), tmp_path / "plain.npz"
    smpl_files.write_npz(plain, MODEL)
    difference = body.posed(0, 132, 17) - smpl.smpl_body(plain).posed(0, 132, 17)
    trunk = body.weights[:, 0] == 1
    assert (difference[trunk, 1] < -0.01).all(), "y points to the back, so the viewer is at negative y"
    np.testing.assert_allclose(difference[trunk][:, [0, 2]], 0, atol=1e-12)


def test_the_neutral_model_is_preferred(tmp_path):
    folder = tmp_path / "smpl"
    folder.mkdir()
    for name in ("SMPL_FEMALE.npz", "SMPL_NEUTRAL.npz", "a_male.npz"):
        smpl_files.write_npz(folder / name, MODEL)
    assert "SMPL_NEUTRAL.npz" in data.DATASETS["smpl"].describe_files(tmp_path)


def without(name):
    return {key: value for key, value in MODEL.items() if key != name}


@pytest.mark.parametrize(
    ("model", "complaint"),
    [
        (without("posedirs"), "is not a complete SMPL model: it lacks posedirs"),
        ({"v_template": MODEL["v_template"], "f": MODEL["f"]}, "it lacks shapedirs, posedirs, J_regressor, weights"),
        ({**MODEL, "weights": MODEL["weights"][:, :22]}, "weights is 1229 x 22, not 1229 x 24"),
        ({**MODEL, "posedirs": np.zeros((1229, 3, 9))}, "posedirs is 1229 x 3 x 9, not 1229 x 3 x 207"),
        ({**MODEL, "f": MODEL["f"] + 9}, "is damaged: f has indices of vertices that do not exist"),
        ({**MODEL, "v_template": MODEL["v_template"] * np.nan}, "v_template has values that are not finite"),
        ({**MODEL, "weights": np.array(["x"] * 24)}, "weights is not an array of numbers"),
    ],
)
def test_the_error_names_missing_or_wrong_arrays(tmp_path, model, complaint):
    path = tmp_path / "model.npz"
    smpl_files.write_npz(path, model)
    with pytest.raises(InputError) as error:
        data.load("smpl", root=path, size=1)
    assert str(error.value).startswith(str(path))
    assert complaint in str(error.value)


@pytest.mark.parametrize("name", ["model.npz", "model.pkl"])
@pytest.mark.parametrize(
    "spoil", [lambda content: content[: len(content) // 2], lambda content: b"", lambda content: b"x"]
)
def test_the_error_names_a_damaged_file(tmp_path, name, spoil):
    path = tmp_path / name
    smpl_files.FORMATS[name](path, MODEL)
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(InputError, match=f"{path} is damaged or not"):
        data.load("smpl", root=path, size=1)


def test_a_pickle_without_arrays_is_refused(tmp_path):
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(InputError, match="is not an SMPL model: it holds a list"):
        data.load("smpl", root=path, size=1)


class Malicious:
    def __init__(self, call, *arguments):
        self.call, self.arguments = call, arguments

    def __reduce__(self):
        return self.call, self.arguments


def dangerous_calls():
    import builtins
    import os
    import subprocess

    # Pickles of protocol 2 and below use the module names of Python 2.
    yield os.system, "touch {}", "(posix|nt).system"
    yield builtins.eval, "open('{}', 'w')", "(builtins|__builtin__).eval"
    yield builtins.exec, "open('{}', 'w')", "(builtins|__builtin__).exec"
    yield subprocess.Popen, "touch {}", "(subprocess|commands).Popen"
    yield builtins.getattr, "{}", "(builtins|__builtin__).getattr"
    yield np.load, "{}", "numpy.load"


@pytest.mark.parametrize(
    ("call", "argument", "name"), list(dangerous_calls()), ids=lambda value: getattr(value, "__name__", None)
)
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_malicious_pickle_is_refused_and_does_not_run(tmp_path, call, argument, name, protocol):
    target = tmp_path / "touched"
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps({**MODEL, "bs_type": Malicious(call, argument.format(target))}, protocol))
    with pytest.raises(InputError, match=rf"was not loaded: it calls {name}.*Download the file from its publisher"):
        data.load("smpl", root=path, size=1)
    assert not target.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"cchumpy.ch\nload\n(S'x'\ntR.",  # a function of chumpy rather than a class
        b"cscipy.sparse\nload_npz\n(S'x'\ntR.",
        b"cchumpyevil\nCh\n(S'x'\ntR.",  # a module whose name starts with chumpy
        b"cnumpy.core.multiarray\nfromfile\n(S'x'\ntR.",
        b"ccopyreg\n_reconstructor\n(cnumpy\nndarray\nc__builtin__\nobject\nNtR.",
        b"c_codecs\nencode\n(S'x'\nS'hex'\ntR.",
    ],
)
def test_names_that_resemble_allowed_ones_are_refused(tmp_path, content):
    path = tmp_path / "model.pkl"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"was not loaded|is damaged or not a pickle"):
        smpl_pickle.read(path)


def test_scipy_sparse_matrices_are_read(tmp_path):
    import scipy.sparse

    matrix = scipy.sparse.random(24, 50, density=0.1, random_state=0, format="csc")
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps(matrix, protocol=2))
    np.testing.assert_array_equal(smpl_pickle.as_array(smpl_pickle.read(path)), matrix.toarray())
    path.write_bytes(pickle.dumps(matrix.tocsr(), protocol=2))
    with pytest.raises(ValueError, match="not stored by columns"):
        smpl_pickle.as_array(smpl_pickle.read(path))


@pytest.mark.parametrize(
    "content",
    [
        # numpy.ndarray and numpy.dtype trust their arguments: object addresses, offsets, field layouts.
        b"cnumpy\nndarray\n((I1\ntS'O'\nS'AAAAAAAA'\ntR.",
        b"cnumpy\nndarray\n((I1\ntS'f8'\nS'AAAAAAAA'\nI-8\ntR.",
        b"cnumpy\ndtype\n(S'O'\ntR.",
        b"cnumpy\ndtype\n(S'V16'\nI0\nI1\ntR.",
        b"cnumpy\ndtype\n(S'f8'\nI0\nI1\ntR(I3\nS'<'\nN(S'a'\nt(dS'a'\n(cnumpy\ndtype\n(S'f8'\ntRI1073741824\ntsI8\nI1\nI16\ntb.",
    ],
)
def test_constructors_that_trust_addresses_are_not_called(tmp_path, content):
    """With numpy's own constructors these pickles crash the process."""
    path = tmp_path / "model.pkl"
    path.write_bytes(content)
    with contextlib.suppress(InputError):  # either refused, or read as an opaque object
        assert not isinstance(smpl_pickle.read(path), np.ndarray | np.dtype)


def test_text_and_objects_beside_the_arrays_are_ignored(tmp_path):
    objects = np.array([{"a": 1}, None], object)
    stored = {**MODEL, "names": np.array(["a", "b"]), "objects": objects, "kind": np.dtype("U3")}
    path = tmp_path / "model.pkl"
    for protocol in (0, 2, 4, 5):
        path.write_bytes(pickle.dumps(stored, protocol))
        assert len(data.load("smpl", root=path, size=2)) == 2
        path.write_bytes(pickle.dumps({**MODEL, "weights": objects}, protocol))
        with pytest.raises(InputError, match=r"weights is not an array of numbers \(an array of objects or text\)"):
            data.load("smpl", root=path, size=2)


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize("dtype", ["float32", "float64", ">f8", "int64", "uint32", "bool"])
def test_arrays_of_all_protocols_and_dtypes_are_read(tmp_path, protocol, dtype):
    arrays = {
        "c": np.arange(24).reshape(2, 3, 4).astype(dtype),
        "f": np.asfortranarray(np.arange(12).reshape(3, 4).astype(dtype)),
        "empty": np.zeros((0, 3), dtype),
        "number": np.arange(3).astype(dtype)[2],
    }
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps(arrays, protocol))
    for name, value in smpl_pickle.read(path).items():
        np.testing.assert_array_equal(smpl_pickle.as_array(value), arrays[name])


def test_an_array_shorter_than_its_shape_is_refused(tmp_path):
    path = tmp_path / "x.pkl"
    content = pickle.dumps(np.arange(4.0), 4)
    assert content.count(b"K\x04\x85") == 1
    path.write_bytes(content.replace(b"K\x04\x85", b"K\x09\x85"))
    with pytest.raises(InputError, match="length does not match its shape"):
        smpl_pickle.read(path)


def damaged(name, change):
    return {**MODEL, name: change(MODEL[name])}


@pytest.mark.parametrize(
    ("model", "complaint"),
    [
        (damaged("J_regressor", np.zeros_like), "the rows of J_regressor do not sum to 1"),
        (damaged("weights", lambda w: 2 * w), "the rows of weights do not sum to 1"),
        (damaged("v_template", lambda v: 100 * v), "is not a body in metres with y up"),
        (damaged("posedirs", lambda p: p + 1e300), "posedirs has values that are not finite, or far too large"),
        (damaged("f", lambda f: f[:0]), "f is empty"),
        (damaged("shapedirs", lambda d: d[..., :0]), "shapedirs is empty"),
        (damaged("v_template", lambda v: np.float64(3)), "v_template is one number, not 0 x 3"),
    ],
)
def test_implausible_models_are_refused(tmp_path, model, complaint):
    for name in ("model.npz", "model.pkl"):
        smpl_files.FORMATS[name](tmp_path / name, model) if name == "model.npz" else (tmp_path / name).write_bytes(
            pickle.dumps(model, 2)
        )
        with pytest.raises(InputError, match=complaint):
            data.load("smpl", root=tmp_path / name, size=1)


def test_a_cycle_of_objects_is_not_an_array(tmp_path):
    path = tmp_path / "x.pkl"
    # A chumpy object whose x is itself.
    path.write_bytes(b"(dS'v_template'\ncchumpy.ch\nCh\n)\x81p0\n(dS'x'\ng0\nsbs.")
    stored = smpl_pickle.read(path)
    with pytest.raises(RecursionError):
        smpl_pickle.as_array(stored["v_template"])


def test_more_bodies_than_the_default_start_with_the_default_ones():
    few, more = (data.load("smpl", "test", size=size, resolution=(8, 8)) for size in (2_000, 2_003))
    np.testing.assert_array_equal(few.factors, more.factors[:2_000])


@pytest.mark.parametrize("change", [np.zeros_like, lambda directions: directions * 1e-6], ids=["none", "hardly any"])
def test_a_model_whose_shapes_change_nothing_is_refused(tmp_path, change):
    path = tmp_path / "model.npz"
    smpl_files.write_npz(path, {**MODEL, "shapedirs": change(MODEL["shapedirs"])})
    with pytest.raises(InputError, match=r"has no shapes: .* every body would look the same"):
        data.load("smpl", root=path, size=4)


def test_short_memory_is_not_called_damage(tmp_path, monkeypatch):
    def load(*arguments, **settings):
        raise MemoryError

    for name in ("model.npz", "model.pkl"):
        smpl_files.FORMATS[name](tmp_path / name, MODEL)
        monkeypatch.setattr("numpy.load", load)
        monkeypatch.setattr(smpl_pickle._Reader, "load", load)
        with pytest.raises(InputError, match=r"not enough memory to read .*, which may well be in order"):
            data.load("smpl", root=tmp_path / name, size=4)
