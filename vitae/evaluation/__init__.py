"""Evaluation of trained models: likelihoods, codes, effects of latents, and the scores of a record."""
