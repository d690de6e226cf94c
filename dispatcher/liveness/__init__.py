"""Liveness: which workers are there, and which assignments will still be answered.

outstanding   assignments without an answer, by worker, and what a worker's silence or answer means for them. Pure
heartbeats    workers that have not written their registry entry for three heartbeats. Pure
unattributed  tasks of the queue group that no worker has named yet. Pure
prober        the pings that these ask for, and what comes back: the I/O
"""

from dispatcher.liveness.outstanding import AssignmentLost
from dispatcher.liveness.prober import Prober

__all__ = ["AssignmentLost", "Prober"]
