"""Finished runs as one page beside the numbers of the paper."""
