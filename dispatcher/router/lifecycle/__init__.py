"""Lifecycle of workers and tasks: what arrivals, answers, losses and disconnects mean for them."""
