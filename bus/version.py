"""The version of labelbus that runs here."""

from importlib.metadata import PackageNotFoundError, version


def labelbus_version() -> str:
    """As pyproject.toml has it; `unknown` when the package is not installed."""
    try:
        return version("labelbus")
    except PackageNotFoundError:
        return "unknown"
