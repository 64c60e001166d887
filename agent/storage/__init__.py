"""Durable state: the only package that writes files we promise to keep."""
