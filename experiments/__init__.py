"""Experiments: absl entry points that compute, store and draw the figures."""

from experiments.common import early_interrupt

early_interrupt.watch()
