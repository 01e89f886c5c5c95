"""Ways of recommending, one module each, behind one interface."""
