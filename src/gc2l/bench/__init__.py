"""Measuring speed: ratios of things that ran in turns in one process; (a) to (e) are the tables of `make bench`."""
