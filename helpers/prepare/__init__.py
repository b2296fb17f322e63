"""Between the store and the network: which slices a batch holds, and how they are varied."""
