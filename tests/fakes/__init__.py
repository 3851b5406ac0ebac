"""Stand-ins at the contracts: no test patches our own names."""
