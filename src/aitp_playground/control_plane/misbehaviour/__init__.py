"""Misbehaviour on demand: switches, and what they do to requests."""
