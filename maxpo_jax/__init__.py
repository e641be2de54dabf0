"""Policy gradients for max@K and pass@K in JAX."""
