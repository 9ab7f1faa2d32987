"""One run as one HTML file that opens offline."""
