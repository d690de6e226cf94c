"""A discrete-event simulation of a pool that runs the production router itself, not a copy, through workloads.

workload   requests and pools: the named workloads
trace      a workload from a file of real traffic
pool       workers in simulated time
engine     events in order of time
policies   the router, random dispatch, the published smart dispatch
reference  late binding as it was first written down
bounds     lower bounds of misses and completion times
report     the table, the JSON and the plots
"""
