"""Settings: one frozen struct a component, read once from `LABELBUS_*` variables and flags, then passed on.

The annotation of each field describes it; the flag, the variable and the help text are made from it (`bus.command`). A
value that does not fit is an `InvalidInputError` that names the field.
"""

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from bus.subjects import DEFAULT_PREFIX, Subjects

ENV_PREFIX = "LABELBUS_"


class BusSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of every component that is on the bus."""

    nats_url: Annotated[str, Meta(description="NATS servers, separated by commas.")] = "nats://127.0.0.1:4222"
    nats_user: Annotated[str, Meta(description="NATS user name.")] = ""
    nats_password: Annotated[str, Meta(description="NATS password; better given as a variable.")] = ""
    nats_creds: Annotated[Path | None, Meta(description="File of NATS credentials (JWT and seed).")] = None
    nats_ca: Annotated[Path | None, Meta(description="File of the certificate authority; turns TLS on.")] = None
    nats_connect_timeout_s: Annotated[float, Meta(description="How long to wait for NATS at the start.", gt=0)] = 30.0
    prefix: Annotated[str, Meta(description="First token of every subject.")] = DEFAULT_PREFIX
    bucket: Annotated[str, Meta(description="KV bucket of the label registry.")] = "labels"
    log_stream: Annotated[str, Meta(description="Stream that keeps the log records.")] = "LOGS"
    nats_replicas: Annotated[
        int,
        Meta(
            description="Replicas of registry and log stream in a NATS cluster; takes effect when they are made.",
            ge=1,
            le=5,
        ),
    ] = 1
    log_level: Annotated[
        str, Meta(description="Lowest level of log records.", pattern="^(TRACE|DEBUG|INFO|WARNING|ERROR)$")
    ] = "INFO"
    log_format: Annotated[
        str, Meta(description="Log records on stderr as text or as JSON.", pattern="^(text|json)$")
    ] = "text"

    health_file: Annotated[Path | None, Meta(description="File touched while this process is live, for probes.")] = None

    @property
    def subjects(self) -> Subjects:
        """The subjects and other names on this bus."""
        return Subjects(prefix=self.prefix, bucket=self.bucket, log_stream=self.log_stream)
