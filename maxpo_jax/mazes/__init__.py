"""Biased mazes: one path to the goal, policies over two actions, and their exact truth."""
