"""The HTTP gateway, on Litestar."""
