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
    line_up_s: float = 2.0
    """Tasks that were lost with one worker go on one at a time: all of them within this time …"""
    line_up_look_s: float = 0.01
    """… and each so soon after the one before has ended."""
    max_bounces: int = 1000
    """BUSY answers to one task before it is told that the queue is full, if it has also waited …"""
    max_bounced_s: float = 60.0
    """… this long: in a full pool with several dispatchers a task meets busy workers many times."""
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
    dear_runs: float = 5.0
    """How dear a load is beside what it holds up: one as long as this many runs half as much as an endless one …"""
    dear_beside: float = 0.54
    """… and one that takes no slot this much, however long it is."""
    in_demand: float = 0.65
    """Load per slot of the holders, from runs of this label alone, from which it is in demand if loads are dear."""
    copy_at: float = 0.2
    """A label in demand may be copied when its tasks would wait longer than this many load times …"""
    copy_cold_at: float = 1.5
    """… and one that is not, at this many."""
    surge_loads: float = 0.25
    """A queue that grew in less than about this many load times counts as a surge in arrivals."""
    hit_share: float = 0.9
    """Share of a holder's time that a label in demand can hope for."""
    covered: float = 0.5
    """Load per slot of the remaining holders up to which a label can spare one."""
    spare_factor: float = 0.15
    """The value of a holder that can be spared, beside one that cannot, if loads are cheap."""
    horizon_s: float = 10.0
    """How far ahead an evicted label is expected to be wanted again."""
    overlap_cost: float = 1.5
    """What a load costs that takes no slot, beside one that takes one: loads in batches stay the better ones …"""
    overlap_horizon_s: float = 1.0
    """… and how far ahead what it evicts is expected to be wanted."""

    ahead_below_s: float = 0.01
    """Hits follow each other without waiting for the answer where tasks run shorter than this, and queues are long."""

    age_limit_s: float = 5.0
    """A label waits for its load no longer than this plus …"""
    age_limit_loads: float = 4.0
    """… this many load times; then it goes before hits. But never before …"""
    age_limit_typical: float = 3.0
    """… this many times what labels wait for their loads these days: where all wait long, haste makes it longer."""
    aged_share: float = 0.1
    """Share of the workers that may be loading for such tasks at one time."""

    turn_s: float = 0.25
    """Where other dispatchers are about, a worker that was kept busy for this long is left to them …"""
    yield_s: float = 0.002
    """… for this long: more than a message takes there and back."""
    give_way_s: float = 0.001
    """Where other dispatchers are about, a load waits one to two of this: what runs there without one comes first."""
    others_for_s: float = 60.0
    """Other dispatchers are about for this long after a trace of one was seen."""

    pause_s: float = 0.25
    """A worker that failed retryably rests this long, doubled each time up to `pause_max_s`."""
    pause_max_s: float = 8.0
    look_again_s: float = 0.02
    """A worker thought busy with other dispatchers' tasks is tried again after this, doubled each time …"""
    look_again_max_s: float = 1.0
    """… up to this."""
