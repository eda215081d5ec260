"""Requests that keep coming: the state that they leave, and the ledger of what was done."""
