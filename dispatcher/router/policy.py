"""The knobs of the router, with the values that paid in the simulator."""

from typing import Literal

import msgspec


class RouterPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How the router decides. The defaults need no tuning for a pool of models; tests and benchmarks turn them."""

    mode: Literal["affinity", "random"] = "affinity"
    """`random` leaves the choice of the worker to the queue group, as a plain task queue does."""
    max_waiting: int = 50_000
    max_waiting_per_label: int = 20_000
    max_attempts: int = 3
    """Runs of a task that fails retryably, lost ones counted."""
    max_worker_losses: int = 2
    """Times that a task may be lost, with its worker or on the way, before it is given up."""
    max_bounces: int = 200
    """BUSY answers to one task before it is told that the queue is full."""
    max_labels: int = 100_000
    """Labels remembered; beyond, the ones unused for longest are forgotten."""

    rate_tau_s: float = 30.0
    """Memory of the arrival rates."""
    rate_floor_s: float = 2.0
    """A router younger than this trusts no rate to be higher than what would be seen in this time."""
    load_alpha: float = 0.3
    run_alpha: float = 0.1
    prior_load_s: float = 1.0
    """Load time before any was measured."""
    prior_run_s: float = 0.05
    """Run time before any was measured."""

    sample: int = 8
    """Free workers looked at for one load."""
    copy_at: float = 0.2
    """A label in demand is copied when its wait exceeds this many load times …"""
    copy_cold_at: float = 1.5
    """… and one that is not, at this many."""
    in_demand: float = 0.35
    """Load per holder from which a label is in demand."""
    covered: float = 0.5
    """Load per remaining holder up to which a label can spare one."""
    wfac: float = 1.0
    cfac: float = 1.0
    forecast: float = 0.25
    share: float = 0.9
    spare_factor: float = 0.05
    """The value of a holder that can be spared, beside one that cannot."""
    horizon_s: float = 10.0
    """How far ahead an evicted label is expected to be wanted again."""

    age_limit_s: float = 5.0
    """A label waits for its load no longer than this plus …"""
    age_limit_loads: float = 4.0
    """… this many load times; then it goes before hits. But never before …"""
    age_limit_typical: float = 3.0
    """… this many times what labels wait for their loads these days: where all wait long, haste makes it longer."""
    aged_share: float = 0.1
    """Share of the workers that may be loading for such tasks at one time."""

    window: int = 0
    """Tasks sent ahead to a worker whose slots are all in use. Hits only; the worker has to take them."""
    window_below_s: float = 0.005
    """Only tasks expected to run for less are sent ahead."""

    pause_s: float = 0.25
    """A worker that failed retryably rests this long, doubled each time up to `pause_max_s`."""
    pause_max_s: float = 8.0
    look_again_s: float = 0.02
    """A worker thought busy with other dispatchers' tasks is tried again after this, doubled each time …"""
    look_again_max_s: float = 1.0
    """… up to this."""
