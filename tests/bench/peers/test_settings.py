import re
from pathlib import Path

import pytest

from bench.live.arrivals import planned
from bench.peers.ray_process import environment, python_of, ray_version
from bench.peers.settings import QUICK_REQUESTS, PeersSettings
from bench.peers.sides import description, sides
from bus.command import build
from bus.errors import InvalidInputError, UnavailableError

PINS = Path(__file__).parents[3] / "bench/peers/requirements.txt"


def test_the_defaults_are_the_setting_of_the_first_comparison():
    s = PeersSettings()
    assert (s.labels, s.workers, s.capacity, s.producers, s.requests) == (5, 2, 2, 2, 600)
    assert (s.wait_avg, s.wait_stddev, s.load_ms, s.run_ms) == (0.05, 0.02, 200.0, 5.0)


def test_quick_is_one_short_round():
    assert (PeersSettings().in_effect().requests, PeersSettings().in_effect().rounds) == (600, 3)
    quick = PeersSettings(quick=True).in_effect()
    assert (quick.requests, quick.rounds) == (QUICK_REQUESTS, 1)


@pytest.mark.parametrize(
    ("window", "ray", "names"),
    [
        ((1,), True, ["Ray Serve", "labelbus"]),
        ((1, 0), True, ["Ray Serve", "labelbus", "labelbus, window 0"]),
        ((0, 0), False, ["labelbus, window 0"]),
    ],
)
def test_each_window_is_a_side_beside_ray(window, ray, names):
    assert [side.name for side in sides(PeersSettings(window=window, ray=ray))] == names


@pytest.mark.parametrize(("rate", "loop"), [(0.0, "2 producers waiting"), (8.0, "8 requests a second")])
def test_the_description_names_the_loop_and_the_peers_version(rate, loop):
    said = description(PeersSettings(rate=rate), {"ray": "2.60.0"})
    assert loop in said
    assert "ray 2.60.0" in said
    assert "nothing loaded" in said


@pytest.mark.parametrize("rate", [0.0, 50.0], ids=["closed", "open"])
def test_a_seed_gives_the_same_arrivals_to_all_sides(rate):
    settings = PeersSettings(rate=rate)
    plan = planned(settings, 3)
    assert plan == planned(settings, 3)
    assert plan != planned(settings, 4)
    assert sum(map(len, plan.closed)) + len(plan.open) == 600


@pytest.mark.parametrize(
    "field", ["requests", "producers", "labels", "workers", "capacity", "slots", "rounds", "start_timeout_s"]
)
def test_a_number_of_nothing_is_refused(field):
    with pytest.raises(InvalidInputError, match="--" + field.replace("_", "-")):
        build(PeersSettings, {field: 0})


def test_a_missing_environment_is_an_error_that_says_how_it_is_made(tmp_path):
    with pytest.raises(UnavailableError, match="just bench-peers"):
        python_of(PeersSettings(ray_python=tmp_path / "python"))


def test_an_environment_without_ray_is_an_error(tmp_path):
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    with pytest.raises(UnavailableError, match="has no Ray Serve"):
        ray_version(broken)


def test_rays_process_keeps_to_loopback_and_has_a_token_of_its_own(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    monkeypatch.setenv("LABELBUS_LABELS", "7")
    env = environment()
    assert "RAY_ADDRESS" not in env
    assert "LABELBUS_LABELS" not in env
    assert (env["RAY_USAGE_STATS_ENABLED"], env["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"]) == ("0", "0")
    assert env["RAY_AUTH_TOKEN"] != environment()["RAY_AUTH_TOKEN"]


def test_the_environment_is_pinned_by_names_and_versions_alone():
    lines = PINS.read_text().splitlines()
    assert any(re.fullmatch(r"ray==2\.60\.\d+", line) for line in lines)
    for line in lines:
        assert re.fullmatch(r"[a-z0-9.-]+==[\w.]+( ; [\w\s.'<>=!]+)?", line), line
