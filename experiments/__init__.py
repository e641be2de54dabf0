"""Experiments: absl entry points that compute, store and draw the figures."""
