"""What needs records and networks together: exact evidence, released weights, written tables, verification."""
