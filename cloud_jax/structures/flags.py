"""The flags of a record: what was unusual about a crystal, or how it was read."""

# By name, in words that a user reads below a sentence.
FLAGS = {
    "angle_tolerance_lowered": "the lattice is strained so that the angle tolerance "
    "contradicts itself; the distance tolerance alone decided",
    "composition_rounded": "the sentence has the nearest ratios of amounts that its "
    "vocabulary has",
    "decorated": "oxidation states or spins were removed before the symmetry search",
    "disordered": "mixed or partly occupied sites are named by their main element",
    "first_of_several": "the file holds several structures; this is the first",
    "formula_differs": "the atoms are not those of the file's _chemical_formula_sum: "
    "some are missing, or the symmetry is",
    "formula_units_differ": "the cell holds another number of formula units than the "
    "file's _cell_formula_units_Z",
    "hydrogens_missing": "the file tells of hydrogens whose positions it does not give",
    "isotope": "deuterium or tritium was read as hydrogen",
    "low_dimensional": "its source calls it a layer or a chain, not a bulk crystal",
    "occupancies_scaled": "the occupancies of a site sum to more than one, up to 1.05, "
    "and were scaled to it",
    "setting_assumed": "the file leaves open which setting (origin, axes) of its space "
    "group it means; the usual one was used",
    "symmetry_repaired": "the symmetry that the file gives contradicts its cell, its "
    "formula or itself; the one reading without contradiction was used",
    "symbols_from_comment": "the elements stand in the comment of the POSCAR alone",
    "symmetry_uncertain": "atoms are about as far from symmetric places as the "
    "tolerance allows, so that their order would decide the space group; a standard "
    "description decided",
    "symprec_lowered": "no group was found at the tolerance asked for; a smaller one "
    "was used",
}
