"""Recordings: find them, read their names, label, list and split them."""
