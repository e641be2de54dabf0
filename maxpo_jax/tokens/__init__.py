"""Small autoregressive policies on tasks with verifiable rewards."""
