"""Attention from [CLS]: what it goes to, beside what chance gives."""
