"""From a trained gate and a trained network to what a clinic asks: is anything wrong, where, and how sure."""
