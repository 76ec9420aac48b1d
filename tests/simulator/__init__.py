"""Tests of the simulated data centre."""
