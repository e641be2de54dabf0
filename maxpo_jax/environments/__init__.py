"""Environments, which know nothing of estimators."""
