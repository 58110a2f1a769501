"""book/page_weights.py adds up the files of a page."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

specification = importlib.util.spec_from_file_location("page_weights", ROOT / "book/page_weights.py")
page_weights = importlib.util.module_from_spec(specification)
specification.loader.exec_module(page_weights)


def test_a_page_weighs_as_much_as_its_files(tmp_path):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "_static/play/data").mkdir(parents=True)
    (tmp_path / "_static/book.js").write_bytes(b"x" * 1000)
    (tmp_path / "_static/my book.css").write_bytes(b"x" * 500)
    (tmp_path / "_static/play/data/mnist-decoders.js").write_bytes(b"x" * 900_000)
    page = (
        '<script src="../_static/book.js?v=1"></script><script src="../_static/book.js"></script>'
        '<link rel="stylesheet" href="../_static/my%20book.css"><link rel="next" href="../_static/book.js">'
        '<img src="data:image/webp;base64,AAAA"><script src="https://example.org/x.js"></script>'
    )
    (tmp_path / "notebooks/mnist.html").write_text(page)
    (tmp_path / "_static/webpack.html").write_text("not a page")
    assert page_weights.weights(tmp_path) == [
        ("_static/play/data/mnist-decoders.js", 900_000, 800_000),
        ("notebooks/mnist.html", len(page) + 1500, page_weights.BUDGET),
    ]
