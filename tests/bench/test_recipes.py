"""Each recipe once, small: it ends and writes its results. Times are not checked."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.nats, pytest.mark.timeout(120)]

SMALL = ("--runtime", "simulated", "--requests", "40", "--time-scale", "0.005")


def recipe(module: str, *arguments: str, results: Path) -> tuple[str, Path]:
    """Run a benchmark; return its output and the folder of its results."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments, "--results", str(results)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (folder,) = results.iterdir()
    return done.stdout, folder


def test_bench_compares_policies_on_the_same_arrivals(tmp_path):
    said, folder = recipe("bench.live", *SMALL, "--compare", results=tmp_path)
    found = json.loads((folder / "live.json").read_text())
    assert found["versions"]["labelbus"]
    assert found["settings"]["requests"] == 40
    by = {result["policy"]: result for result in found["results"]}
    for result in by.values():
        assert result["tasks_completed"] == result["total_requests"] == result["total_dispatched_jobs"] == 40
        assert result["total_failed_requests"] == 0
        assert result["total_label_misses"] >= result["bounds"]["clairvoyant"] >= 5
        assert sum(result["tasks_per_worker"].values()) == 40
    assert set(by["random"]["routes"]) == {"any"}
    assert by["affinity"]["routes"]["load"] >= 4
    requests = json.loads((folder / "requests.json").read_text())
    labels = {policy: sorted(one["label"] for one in asked) for policy, asked in requests.items()}
    assert labels["random"] == labels["affinity"]
    for policy, ones in requests.items():
        assert sum(one["missed"] for one in ones) == by[policy]["total_label_misses"]
    assert "Total Label Misses: " in said
    assert "<svg" in (folder / "live.svg").read_text()


def test_bench_takes_open_arrivals_and_a_popularity(tmp_path):
    arguments = ("--rate", "2000", "--zipf", "1.0", "--labels", "8", "--time-scale", "1", "--load-ms", "1")
    said, folder = recipe("bench.live", *SMALL[:4], *arguments, "--run-ms", "0", results=tmp_path)
    (result,) = json.loads((folder / "live.json").read_text())["results"]
    assert result["total_requests"] == result["tasks_completed"] == 40
    assert result["total_synchronous_requests"] == 0
    assert "2000 requests a second" in said


def test_bench_path_measures_both_sides_in_turn(tmp_path):
    arguments = ("--connections", "1", "--connections", "4", "--seconds", "0.2", "--rounds", "2", "--logsink")
    _, folder = recipe("bench.path", *arguments, results=tmp_path)
    rows = json.loads((folder / "path.json").read_text())["results"]
    assert [(row["connections"], row["side"], row["legs"]) for row in rows] == [
        (1, "bare", 2),
        (1, "labelbus", 2),
        (4, "bare", 2),
        (4, "labelbus", 2),
    ]
    assert all(row["requests"] > 0 for row in rows)
    assert "<svg" in (folder / "path.svg").read_text()


def test_bench_peers_gives_every_side_the_same_requests(tmp_path):
    small = ("--no-ray", "--requests", "30", "--rounds", "2", "--wait-avg", "0.001", "--wait-stddev", "0")
    arguments = (*small, "--load-ms", "5", "--run-ms", "1", "--window", "1", "--window", "0", "--keep-logs")
    said, folder = recipe("bench.peers", *arguments, results=tmp_path)
    found = json.loads((folder / "peers.json").read_text())["results"]
    rounds = [(row["side"], row["round"]) for row in found["rounds"]]
    assert rounds == [("labelbus", 1), ("labelbus, window 0", 1), ("labelbus, window 0", 2), ("labelbus", 2)]
    assert all(row["requests"] == 30 and row["failed"] == 0 and row["loads"] >= 5 for row in found["rounds"])
    assert [row["side"] for row in found["medians"]] == ["labelbus", "labelbus, window 0"]
    assert found["verdicts"] == []
    legs = json.loads((folder / "requests.json").read_text())
    asked = {(leg["round"], leg["side"]): sorted(one["label"] for one in leg["requests"]) for leg in legs}
    assert asked[1, "labelbus"] == asked[1, "labelbus, window 0"]
    assert asked[2, "labelbus"] == asked[2, "labelbus, window 0"] != asked[1, "labelbus"]
    assert "each side starts with nothing loaded" in said
    assert "<svg" in (folder / "peers.svg").read_text()
    assert len(list((folder / "logs").iterdir())) == 4


def test_bench_peers_says_how_to_have_a_peer(tmp_path):
    nowhere = ("--ray-python", str(tmp_path / "python"))
    done = subprocess.run(
        [sys.executable, "-m", "bench.peers", *nowhere], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 1
    assert "just bench-peers" in done.stderr
    assert "--no-ray" in done.stderr


def test_bench_throughput_measures_passes_beside_one_at_a_time(tmp_path):
    arguments = (
        "--runtime",
        "simulated",
        "--clients",
        "8",
        "--seconds",
        "0.3",
        "--rounds",
        "1",
        "--simulated-load-ms",
        "5",
    )
    _, folder = recipe("bench.throughput", *arguments, results=tmp_path)
    rows = json.loads((folder / "throughput.json").read_text())["results"]
    assert [row["side"] for row in rows] == ["labelbus", "--pass-tasks 1", "path alone"] + 2 * [
        *("labelbus", "--pass-tasks 1")
    ]
    assert all(row["tasks"] > 0 for row in rows)
    assert "<svg" in (folder / "throughput.svg").read_text()


def test_bench_router_measures_each_size_of_pool(tmp_path):
    said, folder = recipe("bench.router", "--workers", "10", "--workers", "20", "--events", "100", results=tmp_path)
    rows = json.loads((folder / "router.json").read_text())["results"]
    assert [(row["workers"], row["event"]) for row in rows] == [
        (workers, event) for workers in (1, 10, 20) for event in ("submit", "finished")
    ]
    assert "20 workers" in said
    assert "<svg" in (folder / "router.svg").read_text()


@pytest.mark.parametrize(
    ("module", "flag"), [("bench.router", "--workers"), ("bench.path", "--connections")], ids=["router", "path"]
)
def test_a_size_of_nothing_is_refused(module, flag, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", module, flag, "0", "--results", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert flag in done.stderr
    assert "Traceback" not in done.stderr


def test_profile_shows_the_dispatcher_at_work(tmp_path):
    said, folder = recipe("bench.profile", "--seconds", "0.3", "--sort", "cumulative", results=tmp_path)
    assert "run_task" in said
    assert (folder / "dispatcher.pstats").stat().st_size > 0
