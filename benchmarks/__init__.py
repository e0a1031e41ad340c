"""Programs that measure; none is a test. Run them from the repository's root: python -m benchmarks.NAME --help."""
