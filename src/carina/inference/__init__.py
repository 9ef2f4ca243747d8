"""A radiograph becomes a prediction, fast, without TensorFlow."""
