"""Settings of the router in groups, with the values that paid in the simulator (docs/performance.md)."""

from typing import Literal

import msgspec


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of what one router keeps."""

    max_waiting: int = 50_000
    """Tasks that may wait, all labels together."""
    max_waiting_per_label: int = 20_000
    """Tasks that may wait for one label."""
    max_labels: int = 100_000
    """Labels remembered; beyond, the least recently used ones are forgotten."""


class Retries(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of how often one task is tried."""

    max_attempts: int = 3
    """Runs of a task that fails retryably, lost ones counted."""
    max_worker_losses: int = 2
    """Times that a task may be lost, with its worker or on the way, before it is rejected."""
    other_worker_s: float = 2.0
    """A task that was lost with a worker waits this long for another one, if there is one, before it goes anywhere."""
    max_bounces: int = 1000
    """BUSY answers to one task after which it is rejected, if it has also waited …"""
    max_bounced_s: float = 60.0
    """… this long: in a full pool with several dispatchers a task meets busy workers many times."""


class QuarantineRules(msgspec.Struct, frozen=True, kw_only=True):
    """Pace of the tasks that were lost together with one worker."""

    within_s: float = 2.0
    """All of them are released within this time, one after the other …"""
    check_every_s: float = 0.01
    """… each this soon after the one before has ended."""


class Estimates(msgspec.Struct, frozen=True, kw_only=True):
    """Memory and priors of what is measured."""

    rate_tau_s: float = 30.0
    """Time constant of the arrival rates."""
    rate_floor_s: float = 2.0
    """A router younger than this trusts no rate to be higher than what would be seen in this time."""
    load_alpha: float = 0.3
    """Weight of a new load time."""
    run_alpha: float = 0.1
    """Weight of a new run time."""
    prior_load_s: float = 1.0
    """Load time before any was measured."""
    prior_run_s: float = 0.05
    """Run time before any was measured."""


class Costs(msgspec.Struct, frozen=True, kw_only=True):
    """Weights of the cost model, chosen on the simulator's workloads (tables in docs/performance.md)."""

    sample: int = 8
    """Free workers looked at for one load."""
    half_expensive_runs: float = 5.0
    """A load as long as this many runs is half as expensive as an endless one …"""
    beside_expense: float = 0.54
    """… and one that takes no slot is this expensive, however long it is."""
    in_demand: float = 0.65
    """Load per slot of the holders by runs of this label, from which it is in demand if loads are expensive."""
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
    """Value of a holder that can be spared, relative to one that cannot, if loads are cheap."""
    horizon_s: float = 10.0
    """Time ahead in which an evicted label is expected to be wanted again."""
    overlap_cost: float = 1.5
    """Cost of a load that takes no slot, relative to one that takes one: loads in batches stay the better ones …"""
    overlap_horizon_s: float = 1.0
    """… and the time ahead in which what it evicts is expected to be wanted again."""
    ahead_below_s: float = 0.01
    """Hits follow each other without waiting for the answer where tasks run shorter than this and queues are long."""


class Aging(msgspec.Struct, frozen=True, kw_only=True):
    """Limits to how long a label waits for its load while hits go first (against starvation)."""

    limit_s: float = 5.0
    """A label waits for its load no longer than this plus …"""
    limit_loads: float = 4.0
    """… this many load times; then it goes before hits. But never before …"""
    limit_typical: float = 3.0
    """… this many times what labels wait for their loads at present: where all wait long, haste makes it longer."""
    share: float = 0.1
    """Share of the workers that may be loading for such tasks at one time."""


class ContentionRules(msgspec.Struct, frozen=True, kw_only=True):
    """Behaviour where other dispatchers use the same workers."""

    time_slice_s: float = 0.25
    """A worker that one dispatcher kept busy for this long is left to the others …"""
    yield_s: float = 0.002
    """… for this long: more than a message takes there and back."""
    load_delay_s: float = 0.001
    """A load waits one to two of this: tasks that run there without a load come first."""
    others_for_s: float = 60.0
    """Other dispatchers are assumed present for this long after a trace of one was seen."""
    retry_s: float = 0.02
    """A worker believed busy with other dispatchers' tasks is tried again after this, doubled each time …"""
    retry_max_s: float = 1.0
    """… up to this."""


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """Pauses of workers that fail."""

    pause_s: float = 0.25
    """A worker that failed retryably is paused this long, doubled each time …"""
    pause_max_s: float = 8.0
    """… up to this."""
    broken_bounces: int = 5
    """A worker that answered BUSY this often in a row while it said that it had a free slot is broken, if that …"""
    broken_after_s: float = 1.0
    """… went on for at least this long: a state that crosses a task on the way is no contradiction."""
    broken_pause_s: float = 5.0
    """A broken worker is given one task again after this, doubled each time …"""
    broken_pause_max_s: float = 60.0
    """… up to this."""


class RouterPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of a router. The defaults need no tuning for a pool of models; tests and benchmarks change them."""

    mode: Literal["affinity", "random"] = "affinity"
    """`random` leaves the choice of the worker to the queue group, as a plain task queue does."""
    limits: Limits = Limits()
    retries: Retries = Retries()
    quarantine: QuarantineRules = QuarantineRules()
    estimates: Estimates = Estimates()
    costs: Costs = Costs()
    aging: Aging = Aging()
    contention: ContentionRules = ContentionRules()
    health: Health = Health()
