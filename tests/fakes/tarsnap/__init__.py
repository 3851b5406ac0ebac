"""A test double of the `tarsnap` client: for tests only, never part of the product (see README.md)."""
