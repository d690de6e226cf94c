"""Ports that can be bound and reached."""

import os
import shutil
import socket
import subprocess
import sys

import pytest

from bus.errors import UnavailableError
from labelbus.stack import ports
from labelbus.stack.ports import free_ports

PUBLISHED = 28123
ELSEWHERE = f"""
import socket
from bus.errors import UnavailableError
from labelbus.stack.ports import free_ports

with socket.create_server(("127.0.0.1", {PUBLISHED})):
    pass  # it can be bound
try:
    free_ports(({PUBLISHED}, "--nats-port"))
except UnavailableError as exc:
    print(exc)
print(len(set(free_ports((0, ""), (0, "")))))
"""


def test_ports_are_free_and_no_two_are_the_same():
    found = free_ports(*[(0, "")] * 10)
    assert len(set(found)) == 10
    for port in found:
        socket.create_server(("127.0.0.1", port), reuse_port=False).close()


def test_a_port_where_somebody_listens_is_refused_with_its_flag():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UnavailableError, match=f"port {port} is taken; choose another with --http-port"):
            free_ports((port, "--http-port"))


def test_a_port_whose_connections_go_elsewhere_is_passed_over(monkeypatch):
    reached = ports._reached
    passed_over: list[int] = []

    def second(probe):
        if not passed_over:
            passed_over.append(probe.getsockname()[1])
            return False
        return reached(probe)

    monkeypatch.setattr(ports, "_reached", second)
    assert free_ports((0, "")) != passed_over
    assert len(passed_over) == 1


@pytest.mark.skipif(
    sys.platform != "linux"
    or os.geteuid() != 0
    or not all(map(shutil.which, ("unshare", "ip", "iptables")))
    or subprocess.run(["unshare", "-n", "iptables", "-t", "nat", "-L"], capture_output=True, check=False).returncode
    != 0,
    reason="needs root, network namespaces and iptables",
)
def test_a_port_that_the_firewall_leads_elsewhere_is_refused():
    rule = f"iptables -t nat -A OUTPUT -p tcp --dport {PUBLISHED} -j REDIRECT --to-ports 9"
    script = f'ip link set lo up && {rule} && exec "$0" -c "$1"'
    done = subprocess.run(
        ["unshare", "-n", "sh", "-c", script, sys.executable, ELSEWHERE],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    refused, number = done.stdout.splitlines()
    assert refused.startswith(f"connections to port {PUBLISHED} are led elsewhere")
    assert "--nats-port" in refused
    assert number == "2"
