"""Constants of the 2019 SI (BIPM, SI brochure, 9th edition), exact by definition."""

GAS_CONSTANT = 8.31446261815324  # J/(mol K): k_B N_A, 1.380649e-23 and 6.02214076e23
