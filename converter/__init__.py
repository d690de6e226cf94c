"""The converter: from a SentenceTransformer to an entry of the Triton model repository."""
