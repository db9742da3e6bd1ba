"""The conformance table: what goes in, octet by octet, and what must come of it. See docs/conformance.md.

Data only, no test code: tests/e2e/test_conformance.py plays it against the real binary.
"""
