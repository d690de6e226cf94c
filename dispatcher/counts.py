"""What a dispatcher counts."""

import msgspec


class Counts(msgspec.Struct):
    """What happened since the start; nothing that is dropped or ignored goes uncounted."""

    submitted: int = 0
    answered: int = 0
    failed: int = 0
    rejected: int = 0
    expired: int = 0
    cancelled: int = 0
    retried: int = 0
    bounced: int = 0
    late: int = 0
    lost: int = 0
    malformed: int = 0
