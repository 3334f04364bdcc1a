"""Scoreboards: how formulas and numbers compare with the best known, as tables that one command writes."""
