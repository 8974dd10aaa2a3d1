"""Training on simulated cities."""
