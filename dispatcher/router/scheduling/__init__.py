"""Scheduling: which waiting task runs where, and which label is loaded for it. Late binding or random."""
