"""The history of the benchmarks: key figures of recorded runs, one JSON line a run, in docs/performance/history.

entry      one line, and the files that lines are kept in
record     the flags `--record` and `--allow-dirty`, and what a run adds
plot       a plot of each benchmark's figures over its runs
"""
