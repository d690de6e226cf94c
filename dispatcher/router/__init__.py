"""The router: which worker runs which task, decided by plain code with time as an argument."""
