"""Rendered first-person scenes: maps, people, looks, a scripted wearer, and the truth."""
