"""A discrete-event simulation of a pool: it drives the production router, and no copy of it, through workloads.

workload   what arrives, and what it takes: the named workloads, and traces from files
pool       workers that hold labels, load and run, in simulated time
engine     events in order of time
policies   who sends what where: the router, random, the published smart dispatch
bounds     what no policy can beat
report     the table, the JSON and the plots
"""
