"""Benchmarks: the published one on the real stack, a simulator for the router, the cost of the path."""
