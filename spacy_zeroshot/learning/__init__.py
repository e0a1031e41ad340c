"""Learning from labelled texts and NLI pairs."""
