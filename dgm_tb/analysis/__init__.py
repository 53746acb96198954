"""Arithmetic on arrays that answers what a person wants to see: no files, clocks or threads."""
