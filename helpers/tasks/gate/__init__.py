"""The gate: a classifier of slices with tumour, before the segmentation."""
