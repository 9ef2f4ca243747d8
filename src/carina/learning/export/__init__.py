"""Keras models become ONNX graphs, in 32-bit floating point and in 8-bit integers."""
