"""Tuning and calibration: one scoring pass per template, then array work on the strengths (see scores.py)."""
