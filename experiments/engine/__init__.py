"""From grids of runs to labeled datasets: plan, store, execution. It knows no figure by name."""
