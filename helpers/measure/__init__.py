"""Evaluation metrics: overlap, surface distance, BraTS regions, classification, and bootstrap confidence intervals."""
