"""The networks, written with Keras 3 alone, so that they run on TensorFlow and on JAX."""
