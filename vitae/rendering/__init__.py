"""Pictures from numbers: the renderers behind the embedded datasets.

Geometry in float64, one image at a time, no arithmetic that depends on batch, threads or instruction set, so that
the hash of a few images is a test on any machine. Loops are compiled by numba and release the interpreter's lock.
"""
