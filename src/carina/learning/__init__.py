"""A manifest becomes a model. TensorFlow and Keras are imported here and nowhere else."""
