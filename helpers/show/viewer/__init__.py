"""Viewers under sliders; a still picture where nobody is there to move them."""
