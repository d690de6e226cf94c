"""The gateway fuzzed by its own OpenAPI document."""

import asyncio
import sys

import pytest

from tests.full import full

pytestmark = pytest.mark.nats

CHECKS = "status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance"


@pytest.mark.parametrize("fuzz_s", [10, full(60, name="60 s of requests", timeout_s=200)])
async def test_by_its_openapi_document_the_gateway_has_no_undocumented_answer_and_no_fault_of_its_own(
    pool, log_records, tmp_path, fuzz_s
):
    fuzzing = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{pool.url}/schema/openapi.json", "--url", pool.url),
        *("--no-color", "--checks", CHECKS, "--max-examples", "40", "--seed", "1", "--generation-deterministic"),
        *("--phases", "examples,coverage,fuzzing", "--max-time", str(fuzz_s)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=tmp_path,
    )
    said, _ = await asyncio.wait_for(fuzzing.communicate(), fuzz_s + 90)
    assert fuzzing.returncode == 0, said.decode()[-6000:]
    assert [record for record in log_records if record["message"] == "request failed unexpectedly"] == []
    assert (await pool.run()).status_code == 200
