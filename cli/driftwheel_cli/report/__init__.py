"""One run as a page that opens offline."""

from driftwheel_cli.report.page import write_report

__all__ = ["write_report"]
