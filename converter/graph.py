"""The published part of the exported graph: input_ids, attention_mask -> sentence_embedding [batch, dim]."""

from pathlib import Path

import onnx

from bus.errors import WorkerError
from converter.triton_config import INPUTS, OUTPUT


def trim_graph(source: Path, target: Path, *, dim: int) -> None:
    """Write `source` with one output, whose last dimension is `dim`, to `target`.

    Raises `WorkerError` if the graph has other inputs or no such output. token_type_ids are not among the inputs:
    the graph is traced without them and has the zeros inside. Weights in files of their own must be moved along with
    the graph.
    """
    model = onnx.load(source, load_external_data=False)
    inputs = [each.name for each in model.graph.input]
    outputs = {each.name: each for each in model.graph.output}
    if sorted(inputs) != sorted(INPUTS) or OUTPUT not in outputs:
        raise WorkerError(
            f"the export made a graph {', '.join(inputs)} -> {', '.join(outputs)}; labelbus serves "
            f"{', '.join(INPUTS)} -> {OUTPUT}"
        )
    embedding = outputs[OUTPUT]
    shape = embedding.type.tensor_type.shape
    if len(shape.dim) != 2:
        raise WorkerError(f"{OUTPUT} has {len(shape.dim)} dimensions instead of two")
    shape.dim[0].dim_param = "batch_size"
    shape.dim[1].dim_value = dim
    del model.graph.output[:]
    model.graph.output.append(embedding)
    onnx.save(model, target)


def external_files(model: Path) -> list[Path]:
    """Return the files beside the graph that hold its larger weights; most models under 2 GB have none."""
    return sorted(
        {
            model.parent / entry.value
            for tensor in onnx.load(model, load_external_data=False).graph.initializer
            for entry in tensor.external_data
            if entry.key == "location"
        }
    )
