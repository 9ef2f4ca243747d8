"""Predictions and truth become numbers: every measure with its interval, and paired tests between two models.

This room knows tables, never models: it sees true findings and calibrated probabilities as arrays, so that
Keras, OpenVINO and Ray results are judged by one judge.
"""
