"""Tests of the api listener."""
