"""What the paper says, in one line each; a finding names the statement that it tests.

Source: Takashiro et al., On Advantage Estimates for Max@K Policy Gradients, 2026, arXiv 2606.06080:
the abstract, and what its figures are drawn for.
"""

UNBIASED = "The leave-two-out baseline keeps the policy gradient unbiased"
EI_UNBIASED = "The advantage of a leading method (EI) is unbiased, but not centered"
CANONICAL = "The canonical finite-batch advantage unites the existing ones"
LOWER_VARIANCE = "The leave-two-out baseline lowers the variance of the gradient"
BETTER = "MaxPO outperforms alternatives that are not centered"
ADAM = "Adam's moments show a lower variance for MaxPO than for EI (Figure 3)"
SUPPORT = "Training for max@K keeps prompts solvable (Figure 9)"
PASS_AT_K = "Training for max@K raises pass@k at large k (Figures 2 and 8)"
OWN_K = "Training with the K of evaluation is best (Figure 10)"
