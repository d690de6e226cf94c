"""The runtimes into which labels are loaded: Triton, ONNX Runtime, or a simulation."""
