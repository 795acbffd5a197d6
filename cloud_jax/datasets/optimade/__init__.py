"""Crystals of the OPTIMADE network: harvest, archive of pages, source."""
