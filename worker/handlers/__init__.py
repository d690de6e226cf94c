"""The task types that come with labelbus."""
