"""`labelbus` as a person types it."""

import json
import os
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from labelbus.__main__ import COMMANDS, main

pytestmark = [pytest.mark.nats, pytest.mark.e2e]


def labelbus(*arguments: str, text: str | None = None) -> Result:
    return CliRunner().invoke(main, arguments, input=text, env={"COLUMNS": "200"})


def test_help_lists_every_command_and_each_has_help():
    listed = labelbus("--help").output
    for name in COMMANDS:
        assert f"  {name} " in listed
        if name not in ("convert", "converter"):
            result = labelbus(name, "--help")
            assert result.exit_code == 0, result.output
    assert labelbus("--version").output.startswith("labelbus, version ")
    assert labelbus("nothing").exit_code == 2


def test_run_prints_the_result_and_where_it_ran(stack):
    result = labelbus("run", "sample_task", "--label", "a", "--parameters", '{"sleep_ms": 1}', "--url", stack.url)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["label"] == "a"
    assert " on worker-" in result.stderr
    told = labelbus("run", "sample_task", "--label", "a", "--parameters", "-", "--json", "--url", stack.url, text="{}")
    assert json.loads(told.stdout)["route"] in ("hit", "load", "copy", "wait")
    assert told.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["sample_task", "--label", "a b"], 1, "labelbus run: 400 'a b' cannot be a label"),
        (["sample_task", "--label", "a", "--task-id", "ä"], 1, "400 'ä' cannot be a task_id"),
        (["unheard_of", "--label", "a"], 1, "404 no worker runs tasks of type unheard_of"),
        (["embed_texts", "--label", "a", "--texts", "x"], 1, "404 no model a in the model repository"),
        (["sample_task", "--label", "a", "--parameters", "{"], 2, "not a JSON object"),
        (["sample_task", "--label", "a", "--parameters", "[1]"], 2, "not a JSON object"),
        (["sample_task"], 2, "Missing option '--label'"),
        (
            ["sample_task", "--label", "a", "--url", "http://127.0.0.1:1"],
            1,
            "no gateway can be reached at http://127.0.0.1:1 ",
        ),
        (["sample_task", "--label", "a", "--url", "nonsense"], 1, "'nonsense' is not the address of a gateway"),
        (["sample_task", "--label", "a", "--url", "http://[x"], 1, "no gateway can be reached at http://[x "),
    ],
)
def test_run_says_what_is_wrong_in_a_line(stack, arguments, status, says):
    url = [] if "--url" in arguments else ["--url", stack.url]
    result = labelbus("run", *arguments, *url)
    assert result.exit_code == status, result.output
    assert says in result.stderr
    assert "Traceback" not in result.output


def test_workers_and_labels_read_the_registry(stack):
    labelbus("run", "sample_task", "--label", "org/model", "--url", stack.url)
    shown = labelbus("workers", "--nats-url", stack.nats_url)
    assert shown.exit_code == 0, shown.output
    assert "worker-1" in shown.output
    entries = json.loads(labelbus("workers", "--json", "--nats-url", stack.nats_url).output)
    assert [entry["worker_id"] for entry in entries] == ["worker-1", "worker-2"]
    assert {entry["runtime"] for entry in entries} == {"simulated"}
    labels = json.loads(labelbus("labels", "--json", "--nats-url", stack.nats_url).output)
    assert isinstance(labels, dict)
    assert labelbus("labels", "--nats-url", stack.nats_url).exit_code == 0


@pytest.mark.parametrize("command", ["workers", "labels"])
def test_a_registry_that_is_not_there_is_told(stack, command):
    away = labelbus(command, "--nats-url", "nats://127.0.0.1:1", "--nats-connect-timeout-s", "0.2")
    assert (away.exit_code, "no NATS server answered" in away.stderr) == (1, True)
    empty = labelbus(command, "--nats-url", stack.nats_url, "--bucket", "another")
    assert (empty.exit_code, "no labelbus has run there yet" in empty.stderr) == (1, True)


def test_doctor_finds_what_is_here_and_says_what_to_do_about_the_rest(stack, tmp_path):
    result = labelbus("doctor", "--json", "--nats-url", stack.nats_url, "--model-repository", str(tmp_path))
    checks = {check["name"]: check for check in json.loads(result.output)}
    assert checks["python"]["status"] == "ok"
    assert checks[f"NATS at {stack.nats_url}"]["status"] == "ok"
    assert "with JetStream" in checks[f"NATS at {stack.nats_url}"]["found"]
    assert checks[f"models in {tmp_path}"]["status"] == "warning"
    missing = any(check["status"] == "missing" for check in checks.values())
    assert result.exit_code == (1 if missing else 0)
    assert all(check["next_step"] for check in checks.values() if check["status"] != "ok")
    table = labelbus("doctor", "--nats-url", "nats://127.0.0.1:1", "--model-repository", str(tmp_path))
    assert "`labelbus up` starts one" in table.output


def test_probe_tells_live_from_hung_and_not_ready(tmp_path: Path):
    file = tmp_path / "health"
    away = labelbus("probe", "--file", str(file))
    assert (away.exit_code, "not ready" in away.stderr) == (1, True)
    file.touch()
    assert labelbus("probe", "--file", str(file)).exit_code == 0
    os.utime(file, (time.time() - 60, time.time() - 60))
    hung = labelbus("probe", "--file", str(file))
    assert (hung.exit_code, "not live" in hung.stderr) == (1, True)
    assert labelbus("probe", "--file", str(file), "--max-age-s", "120").exit_code == 0


def test_every_part_of_the_stack_is_live(stack):
    for name in ("worker-1", "worker-2", "dispatcher-1", "logsink"):
        assert labelbus("probe", "--file", str(stack.folder / "run" / f"{name}.health")).exit_code == 0
