"""Bandits: arms, softmax policies, gradients of a group, and their exact truth."""
