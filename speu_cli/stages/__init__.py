"""The commands as functions: one file each, and each reads like the paper."""
