"""Trained models in use: one predictor for the command line, Python and services."""
