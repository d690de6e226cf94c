"""The Triton Inference Server that comes in the wheel `nvidia-pytriton`: found, started, watched and stopped."""
