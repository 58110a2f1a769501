"""The commit that records and figures state."""

from vitae.support import provenance
from vitae.support.provenance import commit


def test_commit_is_unknown_outside_a_clone(monkeypatch, tmp_path):
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "site-packages" / "vitae" / "support" / "provenance.py"))
    commit.cache_clear()
    assert commit() == "unknown"
    commit.cache_clear()
