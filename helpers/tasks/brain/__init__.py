"""Brain tumours: the U-Net on BraTS."""
