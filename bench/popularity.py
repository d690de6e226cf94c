"""The popularity of labels: Zipf's law."""

import math


def zipf(count: int, exponent: float) -> list[float]:
    """Return the shares of `count` labels, the most popular first: proportional to 1 / rank^exponent.

    With an exponent of 0 all shares are equal.
    """
    weights = [1.0 / (rank + 1) ** exponent for rank in range(count)]
    total = math.fsum(weights)
    return [weight / total for weight in weights]
