"""Crystals of the OPTIMADE network: harvest, archive of pages and source."""
