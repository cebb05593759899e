"""Code that needs both records and networks: exact evidence, released weights, written tables, verification."""

from gc2l.evidence.by_name import Released, list_released, load_released

__all__ = ["Released", "list_released", "load_released"]
