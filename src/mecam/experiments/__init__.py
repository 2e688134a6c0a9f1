"""Many runs: grids, variants, search."""
