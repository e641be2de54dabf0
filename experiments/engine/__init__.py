"""From grids of runs to labelled datasets: plan, store, execution. It knows no figure by name."""
