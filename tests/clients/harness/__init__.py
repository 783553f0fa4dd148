"""Drives real clients through `replay record` and holds what it wrote against what they saw. See CONTRIBUTING.md."""
