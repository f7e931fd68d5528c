"""Benchmarks: each measures with its floor in the same run and says which required figures it reaches."""
