"""Interactive viewers with sliders; a static figure where the notebook runs unattended."""
