"""The child process that writes graph and tokenizer of a SentenceTransformer and compares them with it.

Run as `python -m converter.export`, with the network closed. torch and the libraries on it are imported here only:
they take 10 s and most of a gigabyte, which ends with the process.
"""

import gc
import resource
import shutil
import sys
from pathlib import Path
from typing import Any, Final

from bus.errors import InvalidInputError, UnavailableError, WorkerError
from converter.child import Report, out_of_memory, out_of_room, run_child
from converter.events import Exported, ExportJob, Step

GRAPH_FILE: Final = "1/model.onnx"
TOKENIZER_FILE: Final = "tokenizer.json"


def export(job: ExportJob, report: Report) -> Exported:
    """Write `1/model.onnx` and `tokenizer.json`, and no other file, to the target folder.

    Raises `InvalidInputError` if sentence-transformers cannot load the model, `WorkerError` if it cannot be
    exported or the result differs from it.
    """
    target = Path(job.target)
    report(Step(stage="export", fraction=0.32, message="starting torch"))
    import sentence_transformers  # noqa: F401  # most of the time, imported here so that the step above is told first

    from converter.tokenizer import max_tokens, published_tokenizer
    from converter.verify import reference, sample_texts, verify

    report(Step(stage="export", fraction=0.5, message="loading the model"))
    model = _load(job.folder)
    _refuse_default_prompt(model)
    max_seq_length = max_tokens(model)
    tokenizer = target / TOKENIZER_FILE
    published_tokenizer(model, max_seq_length=max_seq_length).save(str(tokenizer))
    expected = reference(model, sample_texts(max_seq_length))
    dim = int(expected.embeddings.shape[1])
    # The export loads the model again: two at the same time would take twice the memory.
    del model
    gc.collect()

    report(Step(stage="export", fraction=0.6, message="writing the graph"))
    graph = target / GRAPH_FILE
    graph.parent.mkdir()
    _write_graph(job.folder, target / "export", graph, dim=dim)
    report(Step(stage="verify", fraction=0.85, message="comparing with sentence-transformers"))
    agreed = verify(graph, tokenizer, expected)
    return Exported(
        dim=dim,
        max_seq_length=max_seq_length,
        cosine=agreed.cosine,
        norm_error=agreed.norm_error,
        peak_memory_bytes=_peak_memory_bytes(),
    )


def _load(folder: str) -> Any:
    from sentence_transformers import SentenceTransformer

    try:
        model = SentenceTransformer(folder, device="cpu", trust_remote_code=False, local_files_only=True)
    except Exception as exc:
        if out_of_memory(exc):
            raise
        raise InvalidInputError(
            f"sentence-transformers cannot load the model ({type(exc).__name__}: {str(exc)[:500]}): "
            "check that its files are complete and not damaged"
        ) from exc
    return model.eval()


def _refuse_default_prompt(model: Any) -> None:
    prompt = model.prompts.get(model.default_prompt_name or "", "")
    if prompt:
        raise InvalidInputError(
            f"the model puts {prompt[:60]!r} before every text by default, which labelbus does not do: "
            "set its default_prompt_name to null, save it, and put the prompt into the texts"
        )


def _write_graph(folder: str, scratch: Path, graph: Path, *, dim: int) -> None:
    from optimum.exporters.onnx import main_export

    from converter.graph import external_files, trim_graph

    try:
        main_export(
            folder,
            scratch,
            task="feature-extraction",
            library_name="sentence_transformers",
            device="cpu",
            local_files_only=True,
            trust_remote_code=False,
            do_validation=False,  # converter.verify does it, on texts instead of random numbers
        )
    except OSError:
        raise
    except Exception as exc:
        if out_of_memory(exc):
            raise
        if out_of_room(exc, scratch.parent):
            raise UnavailableError(
                f"the disk is too full for the graph ({exc}): make room and try again"[:1000]
            ) from exc
        raise WorkerError(f"the model cannot be exported to ONNX ({type(exc).__name__}: {str(exc)[:500]})") from exc
    exported = scratch / "model.onnx"
    trim_graph(exported, graph, dim=dim)
    for weights in external_files(exported):
        shutil.move(weights, graph.parent / weights.name)
    shutil.rmtree(scratch)


def _peak_memory_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    run_child(ExportJob, export)
