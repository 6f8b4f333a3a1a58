"""Audit of printed numbers against themselves, without a run or a store; docs/audit.md has the arithmetic."""
