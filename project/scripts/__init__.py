"""The study's scripts: roads from no labels to labels, compared at growing numbers of labelled texts."""
