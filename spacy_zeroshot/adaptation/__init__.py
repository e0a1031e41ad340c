"""Adapting an encoder to texts of one's own: masked-language-model steps on unlabelled text."""
