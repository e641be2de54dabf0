"""Config file of the toy sweep."""

from ml_collections import ConfigDict

from tests import toy_sweep


def get_config(mode: str = "full") -> ConfigDict:
    return toy_sweep.make_config()
