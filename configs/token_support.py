"""Which held-out prompts training makes solvable within 256 tries, and which it loses.

    python -m experiments.reproduce --only=token_support

Expected (full mode): RLOO and GRPO lose several times more prompts than they gain; max@K training
with K = 15 loses fewer. Its runs are those of token_pass_at_k, where they are stored.
"""

from configs.token_pass_at_k import get_config

__all__ = ["get_config"]
