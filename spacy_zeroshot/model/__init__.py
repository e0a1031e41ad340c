"""Everything that knows torch and transformers: questions in, evidence out."""
