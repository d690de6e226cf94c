from bench.path.report import MeasuredLeg, SideName, summarise, verdicts


def leg(side: SideName, *, connections: int, seconds: float, ms: float, gateway_s: float) -> MeasuredLeg:
    return MeasuredLeg(
        side=side, connections=connections, seconds=seconds, latencies_ms=[ms] * 1000, cpu_s={"gateway": gateway_s}
    )


def test_a_row_is_the_median_of_its_legs():
    legs = [leg("bare", connections=32, seconds=seconds, ms=2.0, gateway_s=0.1) for seconds in (1.0, 2.0, 4.0)]
    (row,) = summarise(legs)
    assert (row.legs, row.requests, row.rate, row.rate_least, row.rate_most) == (3, 3000, 500.0, 250.0, 1000.0)
    assert (row.p50_ms, row.cpu_us) == (2.0, {"gateway": 100.0})


def test_sides_are_compared_round_by_round():
    legs = []
    for slower in (1.0, 3.0, 1.0):  # the machine had something else to do in the second round
        legs.append(leg("bare", connections=32, seconds=slower, ms=2.0, gateway_s=0.1 * slower))
        legs.append(leg("labelbus", connections=32, seconds=slower * 1.25, ms=2.0, gateway_s=0.13 * slower))
    legs.append(leg("bare", connections=1, seconds=1.0, ms=0.5, gateway_s=0.1))
    legs.append(leg("labelbus", connections=1, seconds=1.0, ms=0.9, gateway_s=0.1))
    assert [(verdict.met, verdict.text) for verdict in verdicts(legs)] == [
        (True, "rate at 32 connections: 80% of the bare gateway's (bar: 75%)"),
        (True, "CPU of the gateway at 32 connections: 1.30 × the bare one's (bar: 1.4)"),
        (False, "p50 at 1 connection: +0.40 ms beside the bare gateway's (bar: +0.25)"),
    ]
