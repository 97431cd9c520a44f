"""The ledger: what lasts."""
