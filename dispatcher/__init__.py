"""The dispatcher: an HTTP gateway, a pure router, and the service between them and the bus."""
