"""How good a segmentation is: overlap, surface distance, scored regions, and what a few patients can tell."""
