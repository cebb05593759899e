"""The whole reproduction on one self-contained HTML page."""

from gc2l.analysis.report.page import report_page

__all__ = ["report_page"]
