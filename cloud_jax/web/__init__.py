"""The page: crystals dropped into a browser, answers beside them."""
