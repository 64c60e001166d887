"""Sealing (age) and custody signatures (JWS)."""
