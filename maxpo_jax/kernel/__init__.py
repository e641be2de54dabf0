"""The kernel of rank-weighted estimators: weights of sorted rewards, in O(B log B)."""
