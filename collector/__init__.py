"""The collection server: receives, verifies, opens and stores clips. Never ships to a camera."""
