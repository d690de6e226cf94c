"""The version of labelbus that runs here."""

from importlib.metadata import PackageNotFoundError, version


def labelbus_version() -> str:
    """Return the version in pyproject.toml; `unknown` if the package is not installed."""
    try:
        return version("labelbus")
    except PackageNotFoundError:
        return "unknown"
