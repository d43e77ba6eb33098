"""Recipes: from a file to the folder of a compressed or trained student."""
