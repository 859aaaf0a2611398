"""Estimators: pipelines and search spaces, the network, baselines, the primary procedure."""
