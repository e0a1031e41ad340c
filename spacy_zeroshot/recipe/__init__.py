"""How the bundled model is made: what its recipe is worth, and how it is written."""
