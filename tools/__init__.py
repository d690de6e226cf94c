"""Tools of a checkout, such as the release recipe; no wheel holds them."""
