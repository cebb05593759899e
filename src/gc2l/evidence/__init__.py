"""Code that needs both records and networks: exact evidence, released weights, written tables, verification."""
