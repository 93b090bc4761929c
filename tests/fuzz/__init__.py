"""Generators of calls, files and kills, each case known by its number."""
