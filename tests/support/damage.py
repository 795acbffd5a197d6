"""Kinds of damage that CIFs suffer: functions from the text of a sound one to bytes.

The sound CIF is one that pymatgen writes with symmetry: one block, operations listed,
atoms in one loop.
"""

from damaged_crystals import CRYSTAL_DAMAGES
from damaged_text import TEXT_DAMAGES

DAMAGES = TEXT_DAMAGES | CRYSTAL_DAMAGES
# Files of megabytes.
HEAVY = {"million_rows", "many_operations", "many_images", "long_line", "deep_nesting"}
# A reader gets the sound crystal from these.
HARMLESS = {"utf_16", "latin_1", "byte_order_mark", "windows_lines", "old_mac_lines"}
HARMLESS |= {"tabs", "unquoted_remark", "two_blocks_of_one_name", "long_line"}
HARMLESS |= {"deep_nesting", "two_formulas", "name_only", "contradicting_name"}
HARMLESS |= {"unknown_occupancy", "odd_numbers", "symbols_in_labels", "equal_labels"}
