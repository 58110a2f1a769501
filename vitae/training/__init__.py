"""The training loop: schedules, steps, checkpoints."""
