"""Losses, batches, training and prediction."""
