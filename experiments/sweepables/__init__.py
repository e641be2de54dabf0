"""The sweeps of the experiments, one module each: see `experiments.sweeps.sweepable`."""
