"""Evidence for the paper, one room a study; nothing below imports them."""
