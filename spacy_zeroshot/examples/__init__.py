"""A few labelled examples beside the zero-shot model: the labels of a text's nearest neighbours vote, no training."""
