"""The quantitative table printed on the poster."""

from vitae.experiments.declaration import EXPERIMENTS

# Dataset -> row -> (ELBO, log p(x), D_score), likelihoods in nats per image.
POSTER = {
    "dsprites": {
        "vae": (-47.05, -49.32, 0.05),
        "beta-vae": (-79.45, -81.38, 0.18),
        "beta-tcvae": (-66.48, -68.12, 0.30),
        "dip-vae-ii": (-46.32, -48.92, 0.12),
        "u-vitae": (-55.25, -57.29, 0.22),
        "c-vitae": (-68.26, -70.49, 0.38),
    },
    "mnist": {
        "vae": (-169, -172, 0.579),
        "beta-vae": (-150, -152, 0.653),
        "beta-tcvae": (-141, -144, 0.679),
        "dip-vae-ii": (-140, -155, 0.733),
        "u-vitae": (-142, -143, 0.782),
        "c-vitae": (-139, -141, 0.884),
    },
    "smpl": {
        "vae": (-8.62e3, -8.62e3, 0.485),
        "beta-vae": (-8.62e3, -8.60e3, 0.525),
        "beta-tcvae": (-8.62e3, -8.56e3, 0.651),
        "dip-vae-ii": (-8.62e3, -8.54e3, 0.743),
        "u-vitae": (-8.62e3, -8.55e3, 0.673),
        "c-vitae": (-8.62e3, -8.52e3, 0.943),
    },
}

# Dataset -> the score that is compared with the poster's D_score.
D_SCORES = {dataset: EXPERIMENTS[dataset].poster_d_score for dataset in POSTER}
