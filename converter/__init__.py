"""The converter, which makes entries of the Triton model repository from SentenceTransformers."""
