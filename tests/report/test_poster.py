"""The poster's table."""

from vitae.report import poster


def test_c_vitae_leads_in_the_posters_numbers():
    for dataset in poster.POSTER.values():
        assert list(dataset) == ["vae", "beta-vae", "beta-tcvae", "dip-vae-ii", "u-vitae", "c-vitae"]
        assert max(dataset, key=lambda row: dataset[row][2]) == "c-vitae"
