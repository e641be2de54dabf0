"""Sweeps: axes into items, items into a store, the store into one dataset, a table and a page."""
