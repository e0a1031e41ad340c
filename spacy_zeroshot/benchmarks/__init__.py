"""Programs that measure; none is a test. Run them with python -m spacy_zeroshot.benchmarks.NAME."""
