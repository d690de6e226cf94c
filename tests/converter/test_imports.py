import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["converter.service", "converter.command", "converter.__main__"])
def test_the_service_and_the_command_import_none_of_what_the_children_need(module):
    script = (
        f"import sys, {module}; heavy = {{'torch', 'transformers', 'onnx', 'onnxruntime', 'numpy', 'optimum', "
        "'sentence_transformers', 'huggingface_hub'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
