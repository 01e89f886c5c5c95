"""History before a cutoff, as one row per customer (or customer and product)."""
