"""Simulations that several tests run."""

from bench.sim.engine import Simulation
from bench.sim.policies import dispatcher_for, workload_for
from bench.sim.workload import Request, Workload


def play(workload, policy="labelbus", seed=1, dispatchers=1, latency_s=0.0):
    made = [dispatcher_for(policy, workload, seed + number) for number in range(dispatchers)]
    return Simulation(workload_for(policy, workload), made, seed=seed, latency_s=latency_s).play()


def in_a_row(labels, *, workers=1, capacity=2, gap_s=10.0):
    requests = [Request(number * gap_s, label, 0.1, 1.0) for number, label in enumerate(labels)]
    return Workload(name="row", workers=workers, capacity=capacity, requests=requests)
