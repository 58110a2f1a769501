from vitae.cli.main import main


def test_data_lists_sources_and_draws_a_reproducible_preview(capsys, tmp_path):
    preview = tmp_path / "preview.png"
    assert main(["data", "mnist", "--preview", str(preview)]) == 0
    printed = capsys.readouterr().out
    assert "data-root: not set" in printed
    assert "embedded: 4,000 training and 1,000 test" in printed
    first = preview.read_bytes()
    assert first.startswith(b"\x89PNG")
    assert main(["data", "mnist", "--preview", str(preview)]) == 0
    assert preview.read_bytes() == first
    assert main(["data", "mnist", "--preview", str(preview), "--seed", "1"]) == 0
    assert preview.read_bytes() != first
