"""Messages and sockets between the services of one camera."""
