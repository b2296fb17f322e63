"""Between the store and the network: preprocessing, sampling of slices, and data augmentation."""
