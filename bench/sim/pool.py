"""Workers in simulated time: the production worker's cache, admission and gathering, and a model of its service.

A worker takes `slots` tasks and `window` more. With `overlap` a load takes no slot, as in the production worker: a task
waits for its label to be loaded, then for a slot. Without it a task takes a slot and loads its label there.

With `pass_tasks` above 1 tasks of one label share a run of `fixed_s` plus the `run_s` of each, and places as well.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import Final

from dispatcher.router import WorkerView
from worker.admission import Admission
from worker.cache import Full, Hit, Join, LabelCache, Load, State
from worker.pass_laws import PassLaws
from worker.passes import Gathering

TASK_TYPE: Final = "task"
"""Type of all simulated tasks."""

Call = Callable[[float], None]
Schedule = Callable[[float, Call], None]


class Job:
    """A task on a worker; times are seconds. `done` is called at its end, with its fields set.

    `run_s` is what the task adds to its pass, `pass_s` what the pass took and `pass_size` the number of tasks in it;
    `waited_s` is the time that the task waited for its label to be loaded.
    """

    __slots__ = (
        "done",
        "evict",
        "evicted",
        "hit",
        "label",
        "lease",
        "load_s",
        "loads",
        "pass_s",
        "pass_size",
        "run_s",
        "taken",
        "waited_s",
    )

    def __init__(
        self, label: str, run_s: float, load_s: float, evict: str, done: "Callable[[float, Job], None]"
    ) -> None:
        self.label = label
        self.run_s = run_s
        self.load_s = load_s
        self.evict = evict
        self.done = done
        self.hit = self.loads = False
        self.evicted = ""
        self.lease = 0
        self.pass_size = 1
        self.taken = self.waited_s = self.pass_s = 0.0


class SimWorker:
    """One worker. `at` schedules a call; `changed` is called after each change.

    The last argument of `changed` is True if a label or a free slot came.
    """

    def __init__(
        self,
        worker_id: str,
        *,
        capacity: int,
        slots: int,
        window: int,
        overlap: bool,
        at: Schedule,
        changed: "Callable[[float, SimWorker, bool], None]",
        pass_tasks: int = 1,
        fixed_s: float = 0.0,
    ) -> None:
        self.worker_id: Final = worker_id
        self.slots: Final = slots
        self.pass_tasks: Final = pass_tasks
        self.cache: Final = LabelCache(capacity)
        self.tasks = self.loads = self.passes = 0
        """Tasks done, loads begun, and passes begun."""
        self._laws = PassLaws(pass_tasks)
        self._admission = Admission(slots=slots, window=window)
        self._gathering: Gathering[Job] = Gathering(slots=slots, laws=self._laws)
        self._window = window if overlap else 0
        self._beside = overlap or pass_tasks > 1
        self._fixed_s = fixed_s
        self._at = at
        self._changed = changed
        self._revision = 0
        self._taken: Counter[str] = Counter()
        self._for_load: dict[str, list[Job]] = {}
        self._for_room: deque[Job] = deque()

    def warm(self, labels: Iterable[tuple[str, float]]) -> None:
        """Load these labels at the start; each is given with the time of its load."""
        for label, load_s in labels:
            loading = self.cache.acquire(0.0, label)
            assert isinstance(loading, Load)
            self.cache.loaded(0.0, label, load_s * 1e3)
            self.cache.release(label, loading.lease)

    @property
    def running(self) -> int:
        """Tasks taken and not answered."""
        return self._admission.taken

    @property
    def full(self) -> bool:
        """True if every slot is taken."""
        return self._admission.is_full

    def holds(self, label: str) -> bool:
        """Return whether the label is loaded or being loaded."""
        held = self.cache.held(label)
        return held is not None and held.state is not State.UNLOADING

    def admits(self, label: str) -> bool:
        """Return whether the worker would take a task of the label now."""
        return self._admission.has_room(label, self._laws.tasks_per_place(label))

    @property
    def has_room(self) -> bool:
        """True if a place is free."""
        return self._admission.has_room()

    def gathers(self, label: str) -> bool:
        """Return whether a task of the label would share the place of others."""
        return self._taken[label] % self._laws.tasks_per_place(label) != 0

    def take(self, now: float, job: Job) -> bool:
        """Take a task; return False if there is no place for it."""
        if not self.admits(job.label):
            return False
        self._taken[job.label] += 1
        self._admission.take(job.label, self._laws.tasks_per_place(job.label))
        self._revision += 1
        job.taken = now
        if self._beside:
            self._acquire(now, job)
        else:
            self._want_slot(now, job)
        self._changed(now, self, False)
        return True

    def view(self) -> WorkerView:
        """Return the state that the worker tells dispatchers."""
        return WorkerView(
            worker_id=self.worker_id,
            labels=self.cache.labels(State.READY),
            loading=self.cache.labels(State.LOADING),
            running=self.running,
            slots=self.slots,
            window=self._window,
            capacity=self.cache.capacity,
            pass_tasks=self.pass_tasks,
            places=self._admission.places,
            pass_types=(TASK_TYPE,) if self.pass_tasks > 1 else (),
            epoch_ms=1,
            revision=self._revision,
        )

    def _want_slot(self, now: float, job: Job) -> None:
        if self._gathering.free_slots:
            self._gathering.start()
            self._begin(now, (job,))
        else:
            self._gathering.wait(job, job.label, "", shares=self._laws.pass_tasks > 1)

    def _begin(self, now: float, jobs: tuple[Job, ...]) -> None:
        """Begin what a slot is for: a pass, or without loads beside the slots a task that may have to load first."""
        if self._beside:
            self._run(now, jobs)
        else:
            self._acquire(now, jobs[0])

    def _acquire(self, now: float, job: Job) -> None:
        match self.cache.acquire(now, job.label, evict_hint=job.evict):
            case Hit(lease):
                job.lease = lease
                job.hit = not job.loads
                self._ready(now, job)
            case Join(lease):
                job.lease = lease
                self._for_load[job.label].append(job)
            case Load(evict, lease):
                job.lease = lease
                job.loads = True
                job.evicted = evict or ""
                if evict is not None:
                    self.cache.unloaded(evict, job.label)
                    self._revision += 1
                self.loads += 1
                self._revision += 1
                self._for_load[job.label] = [job]
                self._at(now + job.load_s, lambda now: self._loaded(now, job))
                self._changed(now, self, True)
            case Full():
                self._for_room.append(job)

    def _loaded(self, now: float, job: Job) -> None:
        self.cache.loaded(now, job.label, job.load_s * 1e3)
        self._revision += 1
        for waiting in self._for_load.pop(job.label):
            waiting.waited_s = now - waiting.taken
            self._ready(now, waiting)
        self._room(now)
        self._changed(now, self, True)

    def _ready(self, now: float, job: Job) -> None:
        if self._beside:
            self._want_slot(now, job)
        else:
            self._run(now, (job,))

    def _run(self, now: float, jobs: tuple[Job, ...]) -> None:
        self.passes += 1
        seconds = self._fixed_s + sum(job.run_s for job in jobs)
        for job in jobs:
            job.pass_s = seconds
            job.pass_size = len(jobs)
        self._at(now + seconds, lambda now: self._end(now, jobs))

    def _end(self, now: float, jobs: tuple[Job, ...]) -> None:
        was_full = self.full
        label = jobs[0].label
        if self._laws.pass_tasks > 1 and all(job.hit for job in jobs):
            self._laws.observe(label, len(jobs), jobs[0].pass_s)
        for job in jobs:
            self.cache.release(label, job.lease)
            self._taken[label] -= 1
            self._admission.answered(label, self._laws.tasks_per_place(label))
        self._revision += 1
        self.tasks += len(jobs)
        self._room(now)
        following = self._gathering.finish()
        if following:
            self._begin(now, following)
        for job in jobs:
            job.done(now, job)
        self._changed(now, self, was_full)

    def _room(self, now: float) -> None:
        """Try again for tasks that found no label to evict."""
        for _ in range(len(self._for_room)):
            self._acquire(now, self._for_room.popleft())
