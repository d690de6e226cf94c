"""What labels are loaded into: Triton, ONNX Runtime, or a simulation."""
