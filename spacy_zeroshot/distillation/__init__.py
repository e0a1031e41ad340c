"""A small native spaCy textcat learns from the labels that a zero-shot pipeline gives to unlabelled texts."""
