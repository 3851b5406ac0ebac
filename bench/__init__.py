"""Measures the budgets of DESIGN 8 beside their rivals: `python -m bench [--quick] [NAME…]`."""
