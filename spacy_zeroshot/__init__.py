"""Zero-shot text classification for spaCy pipelines."""

from importlib.metadata import version

__version__ = version("spacy-zeroshot")
